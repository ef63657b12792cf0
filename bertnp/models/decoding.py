"""Writing a sequence token by token: greedy and beam search, with a cache of keys and values."""

from dataclasses import dataclass

import numpy as np

import bertnp.functional as F
from bertnp.backend import array_module, as_array, to_numpy
from bertnp.nn import KeyValues, inference

MORE_THAN_SOURCE = 50  # tokens a target may be longer than its source (Vaswani et al. 2017, section 6.1)


@dataclass
class Hypothesis:
    """A sequence that was written.

    token_ids: (n,) host integers, without begin and end token   log_probability: of these and the end token, in nats
    score: the log-probability over the length penalty, which beams are compared by
    finished: whether the end token was written; else the sequence was cut off at its maximum length
    """

    token_ids: np.ndarray
    log_probability: float
    score: float
    finished: bool


def length_penalty(length, alpha):
    """lp(n) = ((5 + n) / 6)^α                                                             Wu et al. 2016, eq. 14

    A log-probability falls with every token; divided by lp, longer sequences are not worse for their length.
    length n: tokens, the end token counted   α = 0: no change

    Chapter 18, equation 18.7.
    """
    return ((5.0 + length) / 6.0) ** alpha


class DecoderCache:
    """What a decoder keeps, so that it computes each token of the targets once, and the memory's keys and values once.

    own: for each layer the keys and values of the tokens read so far, (N, A, t, D) for N hypotheses
    memory: for each layer those of the sources, (B, A, K, D); N/B hypotheses of a source stand side by side
    mask: which of the memory's keys may be read, (B, 1, 1, K), or None
    """

    def __init__(self, decoder, memory, of_memory):
        layers = decoder.layer
        self.own = [KeyValues() for _ in layers]
        self.memory = [layer.crossattention.self.remember(memory, of_memory) for layer in layers]
        self.mask = None if of_memory.mask is None else as_array(of_memory.mask, like=memory)
        self.read = 0  # tokens of each target

    def select(self, hypotheses, sources=None):
        """Go on with these hypotheses alone, one may stand there twice; sources: which are left; None: all."""
        for kept in self.own:
            kept.select(hypotheses)
        if sources is not None:
            for kept in self.memory:
                kept.select(sources)
            if self.mask is not None:
                self.mask = self.mask[as_array(sources, like=self.mask)]


def begin(model, input_ids, attention_mask, max_length):
    """Read the sources: an empty cache, and how many tokens may be written for each, the end token counted."""
    source_ids, source = model.pack("input_ids", input_ids, attention_mask, model.config.vocab_size)
    memory, _ = model.encoder(source_ids, source)
    limits = source.lengths + MORE_THAN_SOURCE if max_length is None else np.full(source.B, max_length)
    return DecoderCache(model.decoder, memory, source), limits


def log_probabilities(model, tokens, cache):
    """log p of each word as the next one after these tokens and those in the cache, (N, V); the cache takes them in."""
    return F.log_softmax(F.product(model.decoder.step(tokens, cache), model.output_embeddings.weight.data))


def greedy_search(model, input_ids, attention_mask=None, alpha=0.6, max_length=None):
    """Always the likeliest next token: a Hypothesis for each source. Those that have ended are not computed further.

    input_ids, attention_mask: (B, S)   alpha: of the length penalty, for the score   max_length: None: that of `begin`
    """
    config, found = model.config, {}
    with inference():
        cache, limits = begin(model, input_ids, attention_mask, max_length)
        going = np.arange(len(limits))  # the sources whose targets have not ended
        tokens, totals = np.full(len(going), config.bos_token_id), np.zeros(len(going))
        written = np.zeros((len(going), 0), int)
        while len(going):
            log_p = log_probabilities(model, tokens, cache)
            tokens = to_numpy(log_p.argmax(axis=-1))
            totals = totals + to_numpy(log_p.max(axis=-1))
            written = np.concatenate([written, tokens[:, None]], axis=1)
            ended = tokens == config.eos_token_id
            over = ended | (written.shape[1] >= limits[going])
            for place in np.flatnonzero(over):
                found[going[place]] = hypothesis(written[place], totals[place], ended[place], alpha)
            if over.any():
                left = np.flatnonzero(~over)
                going, tokens, totals, written = going[left], tokens[left], totals[left], written[left]
                cache.select(left, left)
    return [found[b] for b in range(len(limits))]


def beam_search(model, input_ids, attention_mask=None, num_beams=4, alpha=0.6, max_length=None):
    """The likeliest of what begins with the k likeliest beginnings: for each source up to k of Hypothesis, best first.

    Of all ways to go on by one token from the beginnings of a source the k likeliest stay; those among them that end
    are put aside. It is done when none is left that doesn't end, when none can reach the best score any more (its
    log-probability can only fall, and its penalty is at most that of the maximum length), or at the maximum length,
    where, if nothing has ended, the beginnings are what was found. With k = 1 this is `greedy_search`.

    input_ids, attention_mask: (B, S)   num_beams: k   alpha, max_length: as there
    """
    k, config = num_beams, model.config
    found = {}
    with inference():
        cache, limits = begin(model, input_ids, attention_mask, max_length)
        beams = [Beam(k, alpha, limit) for limit in limits]
        going = np.arange(len(limits))
        tokens = np.full(len(going) * k, config.bos_token_id)
        while len(going):
            log_p = log_probabilities(model, tokens, cache)
            values, words = likeliest(log_p, min(k, log_p.shape[-1]))
            values, words = values.reshape(len(going), k, -1), words.reshape(len(going), k, -1)
            parents, left = [], []
            for place, b in enumerate(going):
                came_from = beams[b].extend(values[place], words[place], config.eos_token_id)
                if beams[b].is_done():
                    found[b] = beams[b].best()
                else:
                    parents.append(place * k + came_from)
                    left.append(place)
            if left:
                cache.select(np.concatenate(parents), np.array(left) if len(left) < len(going) else None)
                tokens = np.concatenate([beams[going[place]].written[:, -1] for place in left])
            going = going[left]
    return [found[b] for b in range(len(limits))]


def likeliest(log_p, n):
    """The n largest of each row, in no order, and their columns: host arrays (N, n)."""
    xp = array_module(log_p)
    words = xp.argpartition(log_p, -n, axis=-1)[:, -n:]
    return to_numpy(xp.take_along_axis(log_p, words, axis=-1)), to_numpy(words)


class Beam:
    """The k likeliest beginnings of one target, and what has ended.

    written: (k, t) tokens   totals: (k,) log-probabilities, the largest first; -∞ for a place that is not taken
    """

    def __init__(self, k, alpha, limit):
        self.k, self.alpha, self.limit = k, alpha, limit
        self.written = np.zeros((k, 0), int)
        self.totals = np.full(k, -np.inf)
        self.totals[0] = 0.0
        self.ended = []

    def extend(self, values, words, eos_token_id):
        """Go on by one token; returns which of the k each new beginning came from.

        values, words: (k, m) the likeliest next words of each beginning, and their log-probabilities
        """
        totals = self.totals[:, None] + values  # (k, m)
        ranked = np.argsort(-totals, axis=None, kind="stable")[: self.k]
        parents, columns = np.divmod(ranked, words.shape[1])
        self.totals = totals[parents, columns]
        self.written = np.concatenate([self.written[parents], words[parents, columns][:, None]], axis=1)
        ends = (self.written[:, -1] == eos_token_id) & (self.totals > -np.inf)
        for place in np.flatnonzero(ends):
            self.ended.append(hypothesis(self.written[place], self.totals[place], True, self.alpha))
        self.totals = np.where(ends, -np.inf, self.totals)
        order = np.argsort(-self.totals, kind="stable")
        self.written, self.totals = self.written[order], self.totals[order]
        return parents[order]

    def is_done(self):
        """Whether going on can change nothing: see `beam_search`."""
        if self.written.shape[1] >= self.limit or self.totals[0] == -np.inf:
            return True
        within_reach = self.totals[0] / length_penalty(self.limit, self.alpha)
        return bool(self.ended) and max(one.score for one in self.ended) >= within_reach

    def best(self):
        """What has ended, the best first; if nothing has, what was cut off."""
        cut_off = zip(self.written, self.totals, strict=True)
        all_of_them = self.ended or [hypothesis(w, t, False, self.alpha) for w, t in cut_off if t > -np.inf]
        return sorted(all_of_them, key=lambda one: -one.score)[: self.k]


def hypothesis(tokens, total, finished, alpha):
    """tokens: (n,) those written, with the end token if there is one"""
    score = float(total / length_penalty(len(tokens), alpha))
    return Hypothesis(tokens[:-1] if finished else tokens, float(total), score, bool(finished))
