# %% [markdown]
# # 12 · Masked words and next sentence: what BERT is trained on, and a table that is used twice
#
# Needs: chapters 01, 02, 03, 04, 05, 06, 07, 10 and 11. Runtime: 8 seconds.
#
# **What you will understand.** The two tasks that teach BERT a language from plain text, with nobody labelling
# anything; how words are hidden, and why not all of them; the heads that answer, with their backwards; why the table of
# word embeddings gets *two* gradients; and, trained before your eyes, that a hidden word is told by both its sides.

# %%
import random

import numpy as np

from bertnp import AdamW, BertConfig, BertForMaskedLM, BertForPreTraining, inference, plotting
from bertnp.data.instances import InstanceSettings, TokenKinds, mask_statically
from bertnp.functional import (
    cross_entropy,
    cross_entropy_backward,
    gelu,
    gelu_backward,
    layer_norm,
    layer_norm_backward,
    linear,
    linear_backward,
    sigmoid,
    softmax,
)
from bertnp.gradcheck import check_formula, check_layer, check_model
from bertnp.gradcheck.blocks import pooler, pooler_backward, tied_table, tied_table_backward
from bertnp.learn import draw, show
from bertnp.models.bert import BertPooler
from bertnp.models.heads import BertLMPredictionHead, BertPredictionHeadTransform
from bertnp.nn import Embedding

# %% [markdown]
# ## The idea
#
# **Masked words.** Take a text, hide some of its words, and have the network say what they were. The right answers are
# known, for they stood there. To guess the word in "the young [MASK] moos" one must know what moos, and what a young
# one is called: who fills gaps well knows a language. A network that reads from left to right, and is trained to say
# what comes next, never gets to see the "moos". BERT sees both sides.
#
# **Next sentence.** Give the network two passages A and B. Does B follow A in the text, yes or no? In half of the
# training cases it does, in the other half B was taken from elsewhere.
#
# The name is misleading, and many introductions are, too, the article that this project grew from among them: nothing
# is predicted *of* the next sentence, no word and no vector. It is a yes-or-no question about two sentences that are
# both there.
#
# ## How words are hidden
#
# Of all tokens 15% are chosen to be predicted. A chosen one becomes
#
# * `[MASK]` in 80% of the cases;
# * a random word of the vocabulary in 10%;
# * and stays as it is in 10%.
#
# Why not `[MASK]` always? Because later, when BERT is put to use, there is no `[MASK]` in any text; and a network that
# was only ever asked at `[MASK]` might make useful vectors only there. As it is, *any* token may be one it will be
# asked about, and any may be false. This is how the choice is made, token by token:

# %%
show(mask_statically)
text = "[CLS] the old cow moos . [SEP] a little calf grazes here again . [SEP]".split()
kinds = TokenKinds("[CLS]", "[SEP]", "[MASK]", sorted(set(text)), lambda token: token.startswith("##"))
positions, instead = mask_statically(text, kinds, InstanceSettings(), random.Random(12))
hidden = list(text)
for position, token in zip(positions, instead, strict=True):
    hidden[position] = token
print(" ".join(hidden))
print("to be predicted:", {position: text[position] for position in positions}, "\n")
assert len(positions) == round(0.15 * len(text)) == 2

# %% [markdown]
# Counted over 2000 drawings (a random word may, by chance, be the right one: of 13 words, one in 13 is):

# %%
rng, counts = random.Random(1), {"[MASK]": 0, "as it was": 0, "another": 0}
for _ in range(2000):
    positions, instead = mask_statically(text, kinds, InstanceSettings(), rng)
    for position, token in zip(positions, instead, strict=True):
        counts["[MASK]" if token == "[MASK]" else "as it was" if token == text[position] else "another"] += 1
shares = {name: count / 4000 for name, count in counts.items()}
print(shares)
assert abs(shares["[MASK]"] - 0.8) < 0.02 and abs(shares["as it was"] - 0.1 - 0.1 / 13) < 0.02

# %% [markdown]
# ## The formula: masked words
#
# Let $h$ $(H)$ be the encoder's vector at a chosen token (chapter 11). First a small network of its own turns it into
# a better guess of a word's vector,
#
# $$ t = \operatorname{LayerNorm}\big(\operatorname{gelu}(h W^{\mathsf T} + b)\big) \tag{12.1} $$
#
# and then $t$ is compared with *every word of the vocabulary*, by a scalar product with the word's row of a table
# $(V, H)$: large where they point the same way. And which table? The one that gave the words their vectors in the
# beginning, $E$ of (4.1). This is called **weight tying**.
#
# $$ \text{logits} = t\, E^{\mathsf T} + c \tag{12.2} $$
#
# $c$ $(V)$ is an offset for each word: frequent words get a larger one. The loss is the cross-entropy (5.5), the mean
# over the $N$ chosen tokens alone. At all other tokens no question is asked.

# %%
show(BertPredictionHeadTransform, BertLMPredictionHead)

# %% [markdown]
# Why tie? It saves parameters: in BERT-base the table has $30522 \cdot 768$, 23 million of 110 million. And what makes
# two words alike in reading, that they stand in the same places, makes them alike as answers, too: what is learnt at
# one end helps at the other.
#
# ## By hand
#
# Leave out everything between the two uses of the table, the encoder and (12.1): look a word up, and compare it with
# all words. From here on $t$ counts tokens again.
#
# $$ y_{tv} = \sum_h E_{\mathrm{id}_t h}\, E_{v h} \tag{12.3} $$
#
# Three words, $H = 2$: $E_0 = (1, 0)$, $E_1 = (0, 1)$, $E_2 = (1, 1)$. The text is: word 0, word 2.

# %%
show(tied_table)
E = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
ids = np.array([0, 2])
y = tied_table(ids, E)
show(y=y)
assert y.tolist() == [[1, 0, 1], [1, 1, 2]]

# %% [markdown]
# ## The backward, step by step
#
# ### The table, used twice
#
# Which paths lead from the row of word $w$ to the loss? It stands in (12.3) in two roles.
#
# **As an answer,** $v = w$: in the score that each token $t$ gives to word $w$. There it is multiplied by
# $E_{\mathrm{id}_t}$, so
#
# $$ dE_w = \sum_t dy_{tw}\, E_{\mathrm{id}_t} \quad (\text{so far}) \tag{a} $$
#
# **As a word that was read,** at each $t$ with $\mathrm{id}_t = w$: in all scores of that token, in each multiplied by
# the row $E_v$ of the answer. First to the vector that was looked up, then to its row, as in (4.2):
#
# $$ dx_t = \sum_v dy_{tv}\, E_v, \qquad dE_w = \sum_{t:\ \mathrm{id}_t = w} dx_t \quad (\text{the rest}) \tag{b} $$
#
# Two roles, two sums, which add up:
#
# $$ dE_w = \sum_t dy_{tw}\, E_{\mathrm{id}_t} + \sum_{t:\ \mathrm{id}_t = w}\ \sum_v dy_{tv}\, E_v \tag{12.4} $$
#
# (If the word that was read is itself the answer, the score is $E_w \cdot E_w$, a square; its slope is $2 E_w$. Each
# role brings one of the two.)

# %%
show(tied_table_backward)

# %% [markdown]
# **The numbers of our example.** Let $dy$ be 1 for answer 1 at the first token and for answer 0 at the second, else 0.
# (a): row 1 gets what token 1 read, $(1, 0)$; row 0 what token 2 read, $(1, 1)$. (b): token 1 read word 0, so row 0
# gets $E_1 = (0, 1)$; token 2 read word 2, so row 2 gets $E_0 = (1, 0)$.

# %%
dy = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
dE = tied_table_backward(dy, ids, E)
show(dE=dE)
assert dE.tolist() == [[1, 2], [1, 0], [1, 0]]

# %% [markdown]
# In BERT the whole encoder stands between the two roles; that changes what $dx_t$ is, but not the rule. With the
# vectors $t$ of (12.1) as the rows of a matrix, (a) is $d\text{logits}^{\mathsf T}\, t$, the $dW$ of a linear map
# (3.4); then the gradient goes back through (12.1), through all layers, and arrives at the embeddings, where (b) adds
# it to the rows of the words that were read. In the library both are the same `Parameter`, and its `add_grad` adds.
#
# Mark the difference between the two: (b) touches only words that stand in the batch. (a) touches *all* words, for
# each of them is a possible answer, and a wrong one should be pushed away a little.
#
# ### The head
#
# Back through (12.2), a linear map: $dt = d\text{logits}\, E$, $dc = \sum d\text{logits}$. Back through (12.1): layer
# norm (6.2), GELU (7.2), linear map. Only the $N$ chosen tokens have been given to the head, and so $dh$ is 0 at all
# others (4.5). The whole head, forwards and back:

# %%
rng = np.random.RandomState(12)
N, H, V = 3, 4, 7
h, W, b = rng.randn(N, H), rng.randn(H, H), rng.randn(H)
gamma, beta, E, c = 1 + 0.3 * rng.randn(H), rng.randn(H), rng.randn(V, H), rng.randn(V)
u = linear(h, W, b)
t, x_hat, inv_std = layer_norm(gelu(u), gamma, beta)
logits = linear(t, E, c)  # (N, V)

dlogits = rng.randn(N, V)
dt, dE, dc = linear_backward(dlogits, t, E)
dg, dgamma, dbeta = layer_norm_backward(dt, x_hat, inv_std, gamma)
dh, dW, db = linear_backward(gelu_backward(dg, u), h, W)

head = BertLMPredictionHead(
    BertConfig(vocab_size=V, hidden_size=H, num_attention_heads=1), Embedding(V, H)
).initialize(dtype=np.float64)  # fmt: skip
head.transform.dense.weight.data, head.transform.dense.bias.data = W, b
head.transform.LayerNorm.weight.data, head.transform.LayerNorm.bias.data = gamma, beta
head.decoder.weight.data, head.bias.data = E, c
assert np.allclose(head(h), logits) and np.allclose(head.backward(dlogits), dh)
assert np.allclose(head.decoder.weight.grad, dE) and np.allclose(head.transform.dense.weight.grad, dW)

# %% [markdown]
# ## The formula: next sentence
#
# A pair stands in one sequence, `[CLS] A [SEP] B [SEP]`, with segment 0 for A and 1 for B (chapter 04). The answer is
# read off the first token, `[CLS]`, which says nothing by itself and so is free to collect. Its vector $h_0$ goes
# through one more small network, the **pooler**,
#
# $$ \text{pooled} = \tanh(h_0 W^{\mathsf T} + b) \tag{12.5} $$
#
# and a linear map to two scores $z_0$ (yes, B follows) and $z_1$ (no). Softmax and cross-entropy, as always.
#
# Back: $\tanh$ has the slope $1 - \tanh^2$ (7.10), and the only token that was read is the only one with a gradient:
#
# $$ du = d\text{pooled}\, (1 - \text{pooled}^2), \quad dW = du^{\mathsf T} h_0, \quad db = \sum du, \quad
#    dh_0 = du\, W, \quad dh_s = 0 \text{ for } s > 0 \tag{12.6} $$

# %%
show(pooler, pooler_backward, BertPooler)

# %% [markdown]
# Two scores for yes or no is one more than needed. Softmax only sees their difference: with (5.1),
# $\frac{e^{z_0}}{e^{z_0} + e^{z_1}} = \frac{1}{1 + e^{-(z_0 - z_1)}} = \sigma(z_0 - z_1)$.

# %%
z = rng.randn(5, 2)
assert np.allclose(softmax(z)[:, 0], sigmoid(z[:, 0] - z[:, 1]))

# %% [markdown]
# ## Both together
#
# $$ L = L_{\text{words}} + L_{\text{next}} \tag{12.7} $$
#
# A sum hands its gradient to both. They meet at the encoder's output: $dh$ of the masked words, $(B, S, H)$ with zeros
# where nothing was asked, plus $dh_0$ of the pooler in each first token.

# %%
show(BertForPreTraining)

# %% [markdown]
# ## Checked

# %%
for name in ("tied_table", "pooler"):
    report = check_formula(name)
    print(f"{name:11}", "ok" if report.ok else report.sentence)
    assert report.ok
assert check_layer(head, h).ok

sizes = {"vocab_size": 13, "hidden_size": 6, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 11,
         "max_position_embeddings": 7}  # fmt: skip
still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
ids = np.array([[2, 5, 4, 9, 3, 5, 3], [2, 4, 5, 3, 8, 3, 0]])  # 4 is [MASK]
labels = np.full(ids.shape, -100)
labels[0, 2], labels[0, 5], labels[1, 1] = 7, 5, 8
batch = {
    "input_ids": ids,
    "attention_mask": (ids > 0).astype(int),
    "token_type_ids": np.array([[0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 1, 1, 0]]),
    "labels": labels,
    "next_sentence_label": np.array([0, 1]),
}
report = check_model(BertForPreTraining(BertConfig(**sizes), dtype=np.float64).train(), batch)
print(f"the whole model, {len(report.rows)} tensors:", "ok" if report.ok else report.sentence)
assert report.ok

# %% [markdown]
# ## Three claims, tested
#
# **The gradient of a tied table is the sum of two.** Build the same model with two tables that have the same numbers;
# then each has a gradient of its own.

# %%
tied = BertForPreTraining(BertConfig(**sizes, **still), dtype=np.float64)
untied = BertForPreTraining(BertConfig(**sizes, **still, tie_word_embeddings=False), dtype=np.float64)
values = dict(tied.named_parameters())
for name, parameter in untied.named_parameters():
    if name != "cls.predictions.decoder.weight":
        parameter.data = values[name].data
untied.cls.predictions.decoder.weight.data = untied.bert.embeddings.word_embeddings.weight.data
losses = []
for model in (tied, untied):
    losses.append(float(model(**batch).loss))
    model.backward()
both = values["bert.embeddings.word_embeddings.weight"].grad
as_answer = untied.cls.predictions.decoder.weight.grad
as_read = untied.bert.embeddings.word_embeddings.weight.grad
print("losses:", losses, "  one gradient and the sum of two differ by", abs(both - as_answer - as_read).max())
print("rows with a gradient, as answers:", (abs(as_answer).max(axis=1) > 0).sum(),
      " as words read:", (abs(as_read).max(axis=1) > 0).sum(), " of", len(both))  # fmt: skip
assert losses[0] == losses[1] and np.allclose(both, as_answer + as_read, rtol=0, atol=1e-14)
assert (abs(as_answer).max(axis=1) > 0).all() and set(np.flatnonzero(abs(as_read).max(axis=1))) == {2, 3, 4, 5, 8, 9}

# %% [markdown]
# (Word 0 is padding, the encoder never reads it.)
#
# **Unasked tokens have no influence on the loss of the words.** Put the loss together by hand, from the scores of all
# tokens, and it is the mean over the three asked ones:

# %%
out = tied(**batch)
loss_of_words, _ = cross_entropy(out.prediction_logits[labels != -100], labels[labels != -100])
loss_of_next, _ = cross_entropy(out.seq_relationship_logits, batch["next_sentence_label"])
assert abs(float(loss_of_words + loss_of_next) - float(out.loss)) < 1e-12

# %% [markdown]
# That is why the head runs at the chosen tokens only: 15% of the work. Scores of all tokens for all words would be, for
# 32 sequences of 512 tokens in BERT-base, $32 \cdot 512 \cdot 30522$ numbers, two gigabytes in float32.
#
# **A new network guesses.** All words are equally likely to it, which costs $\ln V$, and $\ln 2$ for the yes or no. A
# first loss far from that means that something is wrong.

# %%
print(f"first loss {losses[0]:.3f}; ln 13 + ln 2 = {np.log(13) + np.log(2):.3f}")
assert abs(losses[0] - np.log(26)) < 0.1

# %% [markdown]
# ## Both sides matter
#
# A small language in which we know what can be known. Four animals: *cow, calf, hen, chick*. The word to the left tells
# the age, the word to the right the kind:
#
# * the **old** (aged) … **moos** (grazes): a cow; the **young** (little) … moos: a calf;
# * the old … **clucks** (pecks): a hen; the young … clucks: a chick.
#
# The animal is hidden. Who sees both sides can know it, at a loss of 0. Who sees one side only is left with two
# animals, equally likely: $\ln 2 = 0.69$. Three BERTs are trained on it: one sees everything; for one all that stands
# to the right of a token is hidden from it, by a mask $(B, S, S)$ of who may read whom (chapter 10); for one, all to
# the left.

# %%
WORDS = ("[PAD] [CLS] [SEP] [MASK] the a old aged young little cow calf hen chick moos grazes clucks pecks "
         "loudly today again here").split()  # fmt: skip
ID = {word: number for number, word in enumerate(WORDS)}
ANIMALS = ["cow", "calf", "hen", "chick"]
LEFT, RIGHT = [["old", "aged"], ["young", "little"]], [["moos", "grazes"], ["clucks", "pecks"]]
S, PLACE = 7, 3  # [CLS] the old [MASK] moos loudly [SEP]


def sentences(rng, B=32):
    """(B, S) ids with the animal hidden, and (B, S) labels: the animal at its place, else -100."""
    ids, labels = np.zeros((B, S), int), np.full((B, S), -100)
    for b, (age, kind) in enumerate(rng.randint(0, 2, (B, 2))):
        before, after = LEFT[age][rng.randint(2)], RIGHT[kind][rng.randint(2)]
        article, adverb = ("the", "a")[rng.randint(2)], ("loudly", "today", "again", "here")[rng.randint(4)]
        ids[b] = [ID[word] for word in ("[CLS]", article, before, "[MASK]", after, adverb, "[SEP]")]
        labels[b, PLACE] = ID[ANIMALS[2 * kind + age]]
    return ids, labels


everything = np.ones((S, S), int)
SIGHT = {"both sides": everything, "left side only": np.tril(everything), "right side only": np.triu(everything)}
config = BertConfig(
    vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
    max_position_embeddings=S, initializer_range=0.1, **still,
)  # fmt: skip


def train(sight, steps=150):
    model = BertForMaskedLM(config, seed=0).train()
    optimizer, rng, losses = AdamW(model, lr=0.003), np.random.RandomState(0), []
    for _ in range(steps):
        ids, labels = sentences(rng)
        out = model(ids, attention_mask=np.broadcast_to(sight, (len(ids), S, S)), labels=labels)
        model.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(out.loss))
    return model.eval(), np.array(losses)


models, curves = {}, {}
for name, sight in SIGHT.items():
    models[name], curves[name] = train(sight)
    print(f"sees {name:16} the loss ends at {curves[name][-20:].mean():.2f}")
assert curves["both sides"][-20:].mean() < 0.1
for name in ("left side only", "right side only"):
    assert abs(curves[name][-20:].mean() - np.log(2)) < 0.06

# %% [markdown]
# $\ln 2$: just what the side that is hidden was worth. And the BERT that was trained with both sides, when we hide one
# from it now, is worse still: it is not used to doubting, and where it must guess it is certain, and often wrong.

# %%
ids, labels = sentences(np.random.RandomState(2), B=200)
of_both = {}
with inference():
    for name, sight in SIGHT.items():
        out = models["both sides"](ids, attention_mask=np.broadcast_to(sight, (200, S, S)), labels=labels)
        of_both[name] = float(out.loss)
        print(f"trained with both sides, sees {name:16} {of_both[name]:.2f}")
assert of_both["both sides"] < 0.1 and min(of_both["left side only"], of_both["right side only"]) > 1

# %% [markdown]
# ## The picture
#
# The loss while learning; and what each of the three BERTs answers to "the old [MASK] moos today". Left alone tells:
# something old. Right alone: something that moos. Both: a cow.

# %%
draw(
    plotting.curves,
    "ch12_both_sides.png",
    panels=[
        {
            "title": "guessing the hidden animal",
            "series": {f"sees {name}": (np.arange(len(losses)), losses) for name, losses in curves.items()},
            "levels": {"two animals left: ln 2": np.log(2)},
            "xlabel": "step",
            "ylabel": "loss (nats)",
            "ylim": (0, 3.6),
        }
    ],
    height=3.0,
)

sentence = np.array([[ID[word] for word in "[CLS] the old [MASK] moos today [SEP]".split()]])
with inference():
    answers = np.stack(
        [softmax(models[name](sentence, attention_mask=sight[None]).logits[0, PLACE]) for name, sight in SIGHT.items()]
    )[:, [ID[animal] for animal in ANIMALS]]
show(answers=answers)
assert answers[0, 0] > 0.9 and np.allclose(answers[1], [0.5, 0, 0.5, 0], atol=0.15)
assert np.allclose(answers[2], [0.5, 0.5, 0, 0], atol=0.15)
draw(
    plotting.matrices,
    "ch12_answers.png",
    panels=[
        {
            "title": "the old [MASK] moos today",
            "values": answers,
            "rows": [f"sees {name}" for name in SIGHT],
            "columns": ANIMALS,
        }
    ],
    shares=True,
    height=2.2,
    unit="share",
)

# %% [markdown]
# ## What others do
#
# * **The paper** (Devlin et al. 2019, section 3.1 and appendix A.2) has the two tasks, 15% and 80/10/10. It doesn't
#   mention (12.1), nor the pooler (12.5): they are in the code.
# * **Google's code** hides words once, when the training files are written, ten times for each text; it divides the sum
#   of the losses by $N + 10^{-5}$. Label 0 means that B follows, 1 that it doesn't: not what one would think.
# * **transformers** hides words anew each time a text is seen, choosing each with probability 15% by itself, as RoBERTa
#   did. Tokens without a label have $-100$.
# * **RoBERTa** (Liu et al. 2019) left the next-sentence task out and lost nothing; **ALBERT** asks instead which of two
#   neighbours came first, which is harder: B from elsewhere is often told by its topic alone.
#
# ## Common mistakes
#
# In published code, the loss of the masked words is wrong more often than anything else.


# %%
def output_only(dy, ids, table):
    return dy.T @ table[ids]


def mean_over_everything(dloss, log_p, labels, *others, **more):
    right = cross_entropy_backward(dloss, log_p, labels, *others, **more)
    return right * (labels != -100).sum() / len(labels)


for name, wrong in (("tied_table", output_only), ("cross_entropy", mean_over_everything)):
    report = check_formula(name, backward=wrong)
    print(f"{wrong.__name__}: {report.sentence}\n")
    assert not report.ok

# %% [markdown]
# And one that no gradient check finds: to ignore the label 0, since that is the padding word, with *one* loss function
# for both tasks. Then 0, "B follows", is ignored as well: half of the answers, and all that are yes.

# %%
relation, answers = rng.randn(4, 2), np.array([0, 1, 0, 1])
right, _ = cross_entropy(relation, answers)
wrong, _ = cross_entropy(relation, answers, ignore_index=0)
print(f"loss {right:.3f}; with label 0 ignored {wrong:.3f}, and no example of a yes")
always_no = np.array([[-9.0, 9.0]] * 4)
assert cross_entropy(always_no, answers, ignore_index=0)[0] < 1e-6 < 5 < cross_entropy(always_no, answers)[0]

# %% [markdown]
# Others: the table copied in place of shared, so that the two drift apart; [CLS], [SEP] or padding chosen to be
# predicted; the labels left at words that were *not* chosen, so that the network learns to copy.
#
# ## Exercises
#
# **12.1** Write 80/10/10 yourself, on an array of ids; count as above. (`bertnp learn check 12.1`)
#
# **12.2** Write the loss of the masked words with its backward, for logits $(B, S, V)$ and labels with $-100$.
# (`bertnp learn check 12.2`)
#
# **12.3** Write the backward of the tied table, and check it with `check_formula("tied_table", backward=yours)`.
# (`bertnp learn check 12.3`)
#
# **12.4** A word in the batch is neither masked nor an answer. By which paths does its row of $E$ get a gradient?
#
# **12.5** In the small language, let the word to the left tell nothing in half of the sentences. What is the least loss
# for each of the three sights? Calculate first, then train.
#
# **12.6** Write the backward of the pooler, (12.6). (`bertnp learn check 12.6`)
#
# **12.7** ALBERT (Lan et al. 2020) has a narrow table $E$ $(V, M)$ and a matrix $P$ $(H, M)$ that makes its rows
# wide, at both ends. Write $y_{tv} = (P E_{\mathrm{id}_t}) \cdot (P E_v)$ and its backward.
# (`bertnp learn check 12.7`)
