"""Chapters 17, 18 and 20: reading attention, writing with beams, and a museum guard."""


def attention_rollout(attentions):
    """R = Ã_L ⋯ Ã_2 Ã_1,  Ã_l = (mean over the heads of A_l + 1) / 2, 1 the identity       Abnar & Zuidema 2020, eq. 1

    attentions A: (L, B, A, S, S), the first layer first; row s says what token s reads  ->  R: (B, S, S)
    """


def head_of_previous(attentions, lengths):
    """Layer and number of the head that gives most attention to the token before, in the mean over all that have one

    attentions: (L, B, A, S, S)   lengths: (B,), how many tokens of each sequence are no padding
    ->  layer, head: integers from 0
    """


def smoothing_floor(classes, epsilon):
    """The least cross-entropy that labels smoothed by ε allow: that of shares equal to the target (1 - ε) t + ε/C

    classes C: an integer   epsilon ε: in [0, 1)  ->  a number, in nats
    """


def beam_step(totals, log_p, k):
    """The k likeliest ways to go on by one word from k beginnings

    A way's log-probability is that of its beginning plus that of the word.

    totals: (k,) log-probabilities of the beginnings   log_p: (k, V), of each word after each beginning
    ->  parents: (k,) which beginning   words: (k,) which word   totals: (k,), the largest first
    """


def trusts_loss(cross_entropy):
    """True if this function is the loss of chapter 05, the mean over the labelled rows, False if not

    cross_entropy: a function of logits (n, C) and labels (n,), -100 where there is none, returns a number  ->  bool
    """
