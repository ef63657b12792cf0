"""What a tokenizer hands back: windows over tokenized texts, with special tokens and padding around them."""

from collections import UserDict
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import numpy as np


class TokenSpan(NamedTuple):
    """Tokens start, start + 1, ... end - 1."""

    start: int
    end: int


class CharSpan(NamedTuple):
    """Characters start, start + 1, ... end - 1."""

    start: int
    end: int


class EncodedText:
    """One text as ids. `describe(*arguments)` gives (tokens, offsets, word numbers), when they are first wanted."""

    def __init__(self, ids, describe, *arguments):
        self.ids = ids
        self._describe = describe
        self._arguments = arguments

    @cached_property
    def details(self):
        return self._describe(*self._arguments)

    def __getstate__(self):  # a copy or a pickle takes the answers along, not the tokenizer
        return {"ids": self.ids, "details": self.details}


def outside_text(token, identity, count=1):
    """Tokens that stand for no part of a text: [CLS], [SEP], [PAD]."""
    return EncodedText([identity] * count, lambda: ([token] * count, [(0, 0)] * count, [None] * count))


class Part(NamedTuple):
    """A stretch of an encoding: tokens start to stop of one text."""

    text: EncodedText
    start: int
    stop: int
    type_id: int
    sequence: int | None  # 0 first text, 1 second text, None special token or padding
    attention: int = 1


class Encoding:
    """One row for the model: [CLS] first text [SEP] second text [SEP] [PAD] ..., as a list of parts."""

    overflowing = ()  # the other windows over the same texts

    def __init__(self, parts):
        self.parts = parts

    def __len__(self):
        length = 0
        for part in self.parts:
            length += part.stop - part.start
        return length

    def padded(self, length, side, token, identity, type_id):
        """This encoding filled up to `length` tokens, and its overflowing windows too."""
        missing = length - len(self)
        padded = Encoding(self.parts)
        if missing > 0:
            padding = [Part(outside_text(token, identity, missing), 0, missing, type_id, None, attention=0)]
            padded.parts = self.parts + padding if side == "right" else padding + self.parts
        padded.overflowing = [window.padded(length, side, token, identity, type_id) for window in self.overflowing]
        return padded

    def _each(self, value):
        values = []
        for part in self.parts:
            values += [value(part)] * (part.stop - part.start)
        return values

    def _details(self, which):
        return list(chain.from_iterable(part.text.details[which][part.start : part.stop] for part in self.parts))

    @property
    def ids(self):
        ids = []
        for part in self.parts:
            ids += part.text.ids[part.start : part.stop]
        return ids

    @property
    def type_ids(self):
        return self._each(lambda part: part.type_id)

    @property
    def attention_mask(self):
        return self._each(lambda part: part.attention)

    @property
    def special_tokens_mask(self):
        return self._each(lambda part: int(part.sequence is None))

    @cached_property
    def sequence_ids(self):
        """For each token 0 (first text), 1 (second text) or None."""
        return self._each(lambda part: part.sequence)

    @cached_property
    def tokens(self):
        return self._details(0)

    @cached_property
    def offsets(self):
        """For each token (start, end) in its text; (0, 0) for special tokens and padding."""
        return self._details(1)

    @cached_property
    def word_ids(self):
        """For each token the number of its word in its text, or None."""
        return self._details(2)

    @property
    def n_sequences(self):
        return max(sum(part.sequence is not None for part in self.parts), 1)

    def _tokens_of(self, sequence):
        return [index for index, owner in enumerate(self.sequence_ids) if owner == sequence]

    def token_to_sequence(self, token):
        return self.sequence_ids[token] if token < len(self) else None

    def token_to_word(self, token):
        return self.word_ids[token] if self.token_to_sequence(token) is not None else None

    def token_to_chars(self, token):
        return self.offsets[token] if self.token_to_sequence(token) is not None else None

    def word_to_tokens(self, word, sequence=0):
        tokens = [index for index in self._tokens_of(sequence) if self.word_ids[index] == word]
        return (tokens[0], tokens[-1] + 1) if tokens else None

    def word_to_chars(self, word, sequence=0):
        span = self.word_to_tokens(word, sequence)
        return (self.offsets[span[0]][0], self.offsets[span[1] - 1][1]) if span else None

    def char_to_token(self, character, sequence=0):
        inside = (i for i in self._tokens_of(sequence) if self.offsets[i][0] <= character < self.offsets[i][1])
        return next(inside, None)

    def char_to_word(self, character, sequence=0):
        token = self.char_to_token(character, sequence)
        return None if token is None else self.word_ids[token]


def assemble(texts, spans, special=None):
    """The Encoding of one stretch (start, stop) of each text: [CLS] first [SEP], or [CLS] first [SEP] second [SEP].

    special: the parts [CLS] and the [SEP] after each text; None: nothing around the texts
    """
    parts = [special[0]] if special else []
    for number, text in enumerate(texts):
        start, stop = spans[number]
        parts.append(Part(text, start, stop, number, number))
        if special:
            parts.append(special[1 + number])
    return Encoding(parts)


class BatchEncoding(UserDict):
    """A dictionary of the model's inputs, `encoding.input_ids` being `encoding["input_ids"]`.

    It also answers which token belongs to which word and character. These questions take the row first,
    `char_to_token(row, character)`; with one row it may be left out. `encoding[row]` is the Encoding of a row.
    """

    def __init__(self, data=None, encodings=None, tensor_type=None):
        super().__init__()
        self.data.update(data or {})
        self.encodings = encodings
        if tensor_type is not None:
            self._to_arrays(tensor_type)

    def __getitem__(self, key):
        if isinstance(key, str):
            return self.data[key]
        if self.encodings is not None:
            return self.encodings[key]
        if isinstance(key, slice):
            return {name: values[key] for name, values in self.data.items()}
        raise KeyError(f"{key!r}: keys are names such as 'input_ids'; rows are known only right after tokenizing")

    def __getattr__(self, name):
        # `data` itself is missing while a copy is being made.
        if name != "data" and name in self.data:
            return self.data[name]
        raise AttributeError(f"this encoding has no {name!r}; it has {', '.join(self.__dict__.get('data', ()))}")

    def _to_arrays(self, tensor_type):
        if tensor_type != "np":
            raise ValueError(f"return_tensors={tensor_type!r}: give 'np' (NumPy arrays) or None (lists)")
        for name, values in self.data.items():
            if isinstance(values, np.ndarray):
                continue
            try:
                self.data[name] = np.asarray(values, dtype=np.int64 if _is_empty(values) else None)
            except ValueError as error:
                raise ValueError(
                    f"{name!r} has rows of different lengths and makes no array: give padding=True, truncation=True"
                ) from error

    def _row(self, row, index):
        """(row, index) -> that row's Encoding and the index; (index, None) -> the first row's."""
        if not self.encodings:
            raise ValueError("words, characters and tokens are known only right after tokenizing, with mode='fast'")
        return (self.encodings[0], row) if index is None else (self.encodings[row], index)

    @property
    def n_sequences(self):
        """1 for single texts, 2 for pairs, None if unknown."""
        return self.encodings[0].n_sequences if self.encodings else None

    def tokens(self, row=0):
        return self._row(row, 0)[0].tokens

    def word_ids(self, row=0):
        return self._row(row, 0)[0].word_ids

    def sequence_ids(self, row=0):
        return self._row(row, 0)[0].sequence_ids

    def token_to_sequence(self, row_or_token, token=None):
        encoding, token = self._row(row_or_token, token)
        return encoding.token_to_sequence(token % len(encoding) if token < 0 else token)

    def token_to_word(self, row_or_token, token=None):
        encoding, token = self._row(row_or_token, token)
        return encoding.token_to_word(token % len(encoding) if token < 0 else token)

    def token_to_chars(self, row_or_token, token=None):
        encoding, token = self._row(row_or_token, token)
        span = encoding.token_to_chars(token)
        return CharSpan(*span) if span else None

    def word_to_tokens(self, row_or_word, word=None, sequence_index=0):
        encoding, word = self._row(row_or_word, word)
        span = encoding.word_to_tokens(word, sequence_index)
        return TokenSpan(*span) if span else None

    def word_to_chars(self, row_or_word, word=None, sequence_index=0):
        encoding, word = self._row(row_or_word, word)
        span = encoding.word_to_chars(word, sequence_index)
        return CharSpan(*span) if span else None

    def char_to_token(self, row_or_char, char=None, sequence_index=0):
        encoding, char = self._row(row_or_char, char)
        return encoding.char_to_token(char, sequence_index)

    def char_to_word(self, row_or_char, char=None, sequence_index=0):
        encoding, char = self._row(row_or_char, char)
        return encoding.char_to_word(char, sequence_index)


def _is_empty(values):
    while isinstance(values, (list, tuple)) and len(values):
        values = values[0]
    return isinstance(values, (list, tuple))
