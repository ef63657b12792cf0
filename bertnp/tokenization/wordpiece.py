"""Words to word pieces: greedy, longest piece first."""

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
        self.unknown_token = unknown_token
        self.longest_word = longest_word
        self.longest_piece = max(len(token.removeprefix("##")) for token in vocabulary)
        self.known_words = Remembered(self.cut)
        self.known_ids = Remembered(self.ids)

    def __call__(self, word):
        """Pieces of one word, looked up when the word was met before."""
        return self.known_words[word]

    def cut(self, word):
        """Pieces of one word."""
        if len(word) > self.longest_word:
            return self._unknown(word)
        ids, tokens, ends = [], [], []
        start = 0
        while start < len(word):
            for end in range(min(len(word), start + self.longest_piece), start, -1):
                token = word[start:end] if start == 0 else "##" + word[start:end]
                if token in self.vocabulary:
                    break
            else:
                return self._unknown(word)
            ids.append(self.vocabulary[token])
            tokens.append(token)
            ends.append(end)
            start = end
        return Pieces(tuple(ids), tuple(tokens), tuple(ends))

    def ids(self, word):
        """The ids of one word's pieces."""
        return self.cut(word).ids

    def _unknown(self, word):
        return Pieces((self.vocabulary[self.unknown_token],), (self.unknown_token,), (len(word),))


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
