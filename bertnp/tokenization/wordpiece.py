"""Words to word pieces: greedy, longest piece first."""

from itertools import accumulate
from typing import NamedTuple


class Pieces(NamedTuple):
    """A word cut up: ids, tokens, and where in the word each piece ends."""

    ids: tuple
    tokens: tuple
    ends: tuple


class WordPiece:
    """unaffable -> un ##aff ##able: at each place the longest piece the vocabulary knows; "##" marks a continuation.

    A word with a stretch that no piece fits, or longer than `longest_word` characters, is one unknown token.
    Wu et al. 2016 (section 4.1) gave the method its name; the greedy cut is Devlin et al. 2019's.
    """

    def __init__(self, vocabulary, unknown_token="[UNK]", longest_word=100):
        self.vocabulary = vocabulary
        self.continuations = {token[2:]: identity for token, identity in vocabulary.items() if token.startswith("##")}
        self.tokens = {identity: token for token, identity in vocabulary.items()}
        self.unknown_token = unknown_token
        self.unknown = (vocabulary[unknown_token],)
        self.longest_word = longest_word
        self.longest_piece = max(len(token.removeprefix("##")) for token in vocabulary)
        self.known_words = Remembered(self.cut)
        self.known_ids = Remembered(self.ids)

    def __call__(self, word):
        """Pieces of one word, looked up when the word was met before."""
        return self.known_words[word]

    def ids(self, word):
        """The ids of one word's pieces. Chapter 01, equation 1.1."""
        if len(word) > self.longest_word:
            return self.unknown
        ids, start, known = [], 0, self.vocabulary
        while start < len(word):
            end = min(len(word), start + self.longest_piece)
            while word[start:end] not in known:
                end -= 1
                if end == start:
                    return self.unknown
            ids.append(known[word[start:end]])
            start, known = end, self.continuations
        return tuple(ids)

    def cut(self, word):
        """Pieces of one word."""
        ids = self.ids(word)
        tokens = tuple(self.tokens[identity] for identity in ids)
        if ids == self.unknown:
            return Pieces(ids, tokens, (len(word),))
        lengths = [len(token) - (2 if number else 0) for number, token in enumerate(tokens)]  # without "##"
        return Pieces(ids, tokens, tuple(accumulate(lengths)))


class Remembered(dict):
    """remembered[word] is find(word), worked out when the word is first met.

    Most words of a text were met before, so cutting each once is most of the speed.
    """

    LIMIT = 200_000  # words; then it starts anew, so that endless text doesn't fill the memory

    def __init__(self, find):
        self.find = find

    def __missing__(self, word):
        if len(self) >= self.LIMIT:
            self.clear()
        found = self[word] = self.find(word)
        return found
