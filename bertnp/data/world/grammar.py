"""A world told by a grammar: stories of a few sentences, held together by what stays hidden behind them."""

import math
import random
import re
from collections import Counter
from dataclasses import dataclass

PIECES = re.compile(r"\{\w+\}|\w+|[^\w\s]")  # of a sentence's pattern: slots, words, marks


@dataclass(frozen=True)
class Slot:
    """A place in a sentence that is filled anew each time.

    variable: the hidden variable that says which words may stand here; None: always the same ones
    words: {value of the variable: its words}, all equally likely; a word that is there twice is twice as likely
    """

    variable: str | None
    words: dict


class World:
    """Stories of K sentences. A story has hidden variables, drawn once: they are its thread.

    For each story every hidden variable takes one of its values; then sentence k follows one of the patterns
    `patterns[k]`, and each slot in it is filled with one of the words that it has for its variable's value. All draws
    are independent and all choices equally likely. So, given the hidden values, the sentences are independent.

    hidden: {variable: its values}
    slots: {name: Slot}
    patterns: K lists of sentences such as "{Mira} lives {by} the {lake}.", with names of slots in braces

    ValueError for slots that don't fit the hidden variables or the patterns.
    """

    def __init__(self, hidden, slots, patterns):
        self.hidden = {variable: tuple(values) for variable, values in hidden.items()}
        self.slots = slots
        self.patterns = [[self.pieces(pattern) for pattern in choices] for choices in patterns]
        for name, slot in slots.items():
            values = (None,) if slot.variable is None else self.hidden.get(slot.variable)
            if values is None:
                raise ValueError(f"slot {name}: there is no hidden variable {slot.variable!r}")
            if set(slot.words) != set(values) or not all(slot.words.values()):
                raise ValueError(f"slot {name}: expected words for each of {values}, got {slot.words}")

    def pieces(self, pattern):
        """A pattern as a tuple of words, marks and slots. ValueError for a slot that isn't there."""
        pieces = tuple(PIECES.findall(pattern))
        for piece in pieces:
            if is_slot(piece) and piece[1:-1] not in self.slots:
                raise ValueError(f"pattern {pattern!r}: there is no slot {piece}")
        return pieces

    @property
    def K(self):
        """Sentences in a story."""
        return len(self.patterns)

    @property
    def longest_sentence(self):
        """Words and marks of the longest pattern."""
        return max(len(pattern) for choices in self.patterns for pattern in choices)

    @property
    def words(self):
        """All words and marks that can occur, in lower case, sorted."""
        said = {piece for choices in self.patterns for pattern in choices for piece in pattern}
        for slot in {piece for piece in said if is_slot(piece)}:
            said.remove(slot)
            said.update(word for words in self.slots[slot[1:-1]].words.values() for word in words)
        return sorted(word.lower() for word in said)

    def stories(self, count, seed=0):
        """`count` stories, each a list of K sentences. A seed tells the same ones on every machine."""
        draw = Draw(seed)
        found = []
        for _ in range(count):
            hidden = self.draw_hidden(draw)
            found.append([self.sentence(draw.choose(choices), hidden, draw) for choices in self.patterns])
        return found

    def labelled_sentences(self, patterns, variable, labels, count, seed=0):
        """(`count` sentences of some patterns, their labels): the labels tell a hidden variable, each equally often.

        patterns: as in `World`   labels: {value of the variable: label 0, 1, ...}
        """
        draw = Draw(seed)
        patterns = [self.pieces(pattern) for pattern in patterns]
        values = [[value for value in labels if labels[value] == label] for label in sorted(set(labels.values()))]
        found = []
        for number in range(count):
            label = number % len(values)
            hidden = self.draw_hidden(draw) | {variable: draw.choose(values[label])}
            found.append((self.sentence(draw.choose(patterns), hidden, draw), label))
        return [sentence for sentence, _ in found], [label for _, label in found]

    def draw_hidden(self, draw):
        return {variable: draw.choose(values) for variable, values in self.hidden.items()}

    def sentence(self, pattern, hidden, draw):
        """A sentence as it is written: ("{she}", "sang", ".") -> "He sang." """
        words = [piece if not is_slot(piece) else self.word(piece, hidden, draw) for piece in pattern]
        text = re.sub(r" (?=[^\w\s])", "", " ".join(words))
        return text[0].upper() + text[1:]

    def word(self, piece, hidden, draw):
        slot = self.slots[piece[1:-1]]
        return draw.choose(slot.words[hidden.get(slot.variable)])

    def check_tokenizer(self, tokenizer):
        """ValueError unless every word of the world is one token: only then are words and tokens the same."""
        cut = [word for word in self.words if tokenizer.tokenize(word) != [word]]
        if cut:
            raise ValueError(f"the vocabulary of {len(tokenizer)} tokens cuts {len(cut)} of the world's "
                             f"{len(self.words)} words into pieces, {cut[0]!r} for one: make it larger")  # fmt: skip


def is_slot(piece):
    return piece[0] == "{"


class Draw:
    """Choices from random.Random, of which only `random` is used: its numbers are promised to stay the same."""

    def __init__(self, seed):
        self.random = random.Random(seed).random

    def choose(self, choices):
        return choices[int(self.random() * len(choices))]


def unigram_entropy(words):
    """H = -Σ f log f in nats, f the share of each word: the loss of one who knows how frequent they are, no more.

    Chapter 14, equation 14.1.
    """
    counts = Counter(words)
    total = sum(counts.values())
    return -sum(count / total * math.log(count / total) for count in counts.values())
