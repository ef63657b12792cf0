"""The best possible: what the masked words of an instance are, given all else in it, by the laws of its world.

Whoever knows the grammar can say exactly how probable each word is under each mask of an instance, by summing over
all that stays hidden: the stories' variables, the patterns of the sentences, which sentences of a story these are, and
whether the second segment goes on with the first or comes from another story. The mean of -log p(true word) is the
floor: no model's loss is below it, but for the luck of a finite sample.

A posterior is a quotient of two likelihoods, the instance's with the word shown and with the word hidden:

    p(word | all else) = p(instance, this one mask filled with the word) / p(instance with its masks)
"""

import math
from dataclasses import replace

import numpy as np

from bertnp.data.world.grammar import is_slot

HIDDEN = None  # stands in a list of words where one is masked


class Floor:
    """Exact probabilities in the instances made of a world's stories.

        floor = Floor(world)
        records = create_pretraining_instances(..., max_seq_length=floor.longest_instance, short_seq_prob=0, ...)
        floor.surprises(records[0])    # -log p(true word | all else) in nats, for each masked word
        floor.follows(records[0])      # p(the second segment follows the first | all that is visible)

    Every chosen word counts as masked, whatever the record has in its place.

    It holds for instances of at least `longest_instance` tokens' room and short_seq_prob 0: then no segment is ever
    cut, and where it is cut off doesn't depend on the words. What is left out: after ten tries the algorithm takes a
    story as its own neighbour, which happens once in (number of stories)¹⁰ cases.

    world: World
    """

    def __init__(self, world):
        self.world = world
        self.firsts = first_segments(world.K)
        self.patterns = [
            [tuple(piece if is_slot(piece) else piece.lower() for piece in pattern) for pattern in choices]
            for choices in world.patterns
        ]
        self.tables = {"{" + name + "}": self.table(slot) for name, slot in world.slots.items()}

    def table(self, slot):
        """{word: p(word | z)}, arrays with an axis for each hidden variable; all but the slot's own are of length 1"""
        shape = [len(values) if variable == slot.variable else 1 for variable, values in self.world.hidden.items()]
        choices = [slot.words[value] for value in self.world.hidden.get(slot.variable, (None,))]
        return {
            word.lower(): np.reshape([words.count(word) / len(words) for words in choices], shape)
            for word in {word for words in choices for word in words}
        }

    @property
    def longest_instance(self):
        """The most tokens that an instance can have: all sentences but one, all of another story, and three marks."""
        K = self.world.K
        return (max(1, K - 1) + K) * self.world.longest_sentence + 3

    # a sentence, a segment, an instance

    def sentence(self, pattern, words):
        """p(words | pattern, z) for all hidden values z: an array, or 1.0; None where the words don't fit."""
        p = 1.0
        for piece, word in zip(pattern, words, strict=True):
            if word is HIDDEN or piece == word:
                continue
            if not is_slot(piece) or word not in self.tables[piece]:
                return None
            p = p * self.tables[piece][word]
        return p if np.any(p) else None

    def segment(self, words, known):
        """{(s, e): p(sentences s, ..., e-1 of a story are these words | z)} where it isn't zero; 0 <= s < e <= K.

        f[e](t) = Σ over patterns of sentence e-1, n words long, of f[e-1](t-n) p(words t-n, ..., t-1 | pattern, z) / N
        where f[e](t) is the probability that the sentences s, ..., e-1 are the first t words, and N the patterns.

        known: what `sentence` said before; it is added to
        """
        found = {}
        for s in range(self.world.K):
            f = {0: np.ones([1] * len(self.world.hidden))}
            for e in range(s + 1, self.world.K + 1):
                before, f = f, {}
                for start, p in before.items():
                    for pattern in self.patterns[e - 1]:
                        t = start + len(pattern)
                        if t > len(words):
                            continue
                        key = pattern, words[start:t]
                        if key not in known:
                            known[key] = self.sentence(*key)
                        if known[key] is not None:
                            f[t] = f.get(t, 0.0) + p * known[key] / len(self.patterns[e - 1])
                if len(words) in f:
                    found[s, e] = f[len(words)]
        return found

    def likelihoods(self, first, second, known):
        """p(words, the second segment follows the first), p(words, it is from elsewhere):

            Σ p(s, e) ½ Σ_z p(z) p(first = s…e-1 | z) p(second = e…K-1 | z)
            Σ p(s, e) ½ Σ_z p(z) p(first = s…e-1 | z) · 1/K Σ_j Σ_z p(z) p(second = j…K-1 | z)

        p(s, e): how often the first segment is sentences s, ..., e-1. After a story's last sentence nothing follows:
        for e = K there is 0 in place of the first ½, and 1 in place of the second.
        All z are equally likely, so Σ_z p(z) is the mean over the array.
        """
        K = self.world.K
        first, second = self.segment(first, known), self.segment(second, known)
        elsewhere = sum(second[j, K].mean() for j in range(K) if (j, K) in second) / K
        follows = random = 0.0
        for (s, e), p in self.firsts.items():
            if (s, e) in first:
                random += p * (0.5 if e < K else 1.0) * first[s, e].mean() * elsewhere
                if (e, K) in second:
                    follows += p * 0.5 * (first[s, e] * second[e, K]).mean()
        return follows, random

    # instances

    def likelihood(self, tokens, known):
        return sum(self.likelihoods(*segments(tokens), known))

    def surprises(self, record):
        """-log p(word | all else) of each chosen word of an instance, in nats.

        record: has tokens, masked_lm_positions and masked_lm_labels, as `PretrainingInstance`

        Chapter 14, equation 14.2.
        """
        tokens, known = hidden(record), {}
        together = math.log(self.likelihood(tokens, known))
        places = zip(record.masked_lm_positions, record.masked_lm_labels, strict=True)
        return [together - math.log(self.likelihood(shown(tokens, *place), known)) for place in places]

    def posterior(self, record, position):
        """{word: p(word | all else)} for one chosen position of an instance, without the impossible words."""
        tokens, known = hidden(record), {}
        together = self.likelihood(tokens, known)
        found = {word: self.likelihood(shown(tokens, position, word), known) / together for word in self.world.words}
        return {word: float(p) for word, p in found.items() if p > 0}

    def follows(self, record):
        """p(the second segment follows the first | all that is visible), the chosen words masked."""
        follows, random = self.likelihoods(*segments(hidden(record)), {})
        return float(follows / (follows + random))


def first_segments(K):
    """{(s, e): p(the first segment of an instance is sentences s, ..., e-1 of its story of K sentences)}

    A story is gone through from its first sentence: what is left of it, s...K-1, is cut at a random place e. With
    probability ½, and always where a single sentence is left, the second segment is taken from elsewhere, and the next
    instance begins at e.
    """
    begins = [1.0] + [0.0] * (K - 1)  # how many instances of a story begin with sentence s
    found = {}
    for s in range(K):
        cuts = range(s + 1, max(K, s + 2))
        for e in cuts:
            found[s, e] = begins[s] / len(cuts)
            if e < K:
                begins[e] += found[s, e] / 2
    return {place: number / sum(begins) for place, number in found.items()}


def all_masked(record, mask_token):
    """The same instance with [MASK] at every chosen position, and none kept or replaced by another word."""
    tokens = list(record.tokens)
    for position in record.masked_lm_positions:
        tokens[position] = mask_token
    return replace(record, tokens=tokens)


def hidden(record):
    return all_masked(record, HIDDEN).tokens


def shown(tokens, position, word):
    return [*tokens[:position], word, *tokens[position + 1 :]]


def segments(tokens):
    """[CLS] first [SEP] second [SEP] -> first, second"""
    middle = tokens.index("[SEP]")
    return tuple(tokens[1:middle]), tuple(tokens[middle + 1 : -1])
