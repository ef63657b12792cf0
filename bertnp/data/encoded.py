"""Texts as token ids, ready to be put into batches."""

import numpy as np


class EncodedTexts:
    """Token ids of sentences or pairs, with their labels where there are any.

    `batch(rows)` gives what a model takes: `model(**examples.batch([3, 1, 4]))`.

    input_ids, token_type_ids: for each example a list of integers, not padded
    labels: (n,) integers (classes), (n,) floats (numbers), (n, C) floats (several classes at once), or None
    pad_token_id: what fills up the shorter rows of a batch, always on the right, so that positions stay the same
    """

    def __init__(self, input_ids, token_type_ids, labels=None, pad_token_id=0):
        self.input_ids = [np.asarray(ids, np.int64) for ids in input_ids]
        self.token_type_ids = [np.asarray(ids, np.int64) for ids in token_type_ids]
        self.labels = None if labels is None else np.asarray(labels)
        self.pad_token_id = pad_token_id
        self.lengths = np.array([len(ids) for ids in self.input_ids], np.int64)  # (n,)
        for name, values in (("token_type_ids", token_type_ids), ("labels", labels)):
            if values is not None and len(values) != len(self):
                raise ValueError(f"{name}: expected one for each of {len(self)} texts, got {len(values)}")

    def __len__(self):
        return len(self.input_ids)

    def __getitem__(self, row):
        """One example: a batch of one."""
        return self.batch([range(len(self))[row]])

    def batch(self, rows):
        """The examples of these rows as arrays, padded to the longest of them: (B, S) each, labels (B,) or (B, C)."""
        shape = len(rows), int(self.lengths[rows].max())
        input_ids = np.full(shape, self.pad_token_id, np.int64)
        token_type_ids = np.zeros(shape, np.int64)
        attention_mask = np.zeros(shape, np.int64)
        for b, row in enumerate(rows):
            n = self.lengths[row]
            input_ids[b, :n] = self.input_ids[row]
            token_type_ids[b, :n] = self.token_type_ids[row]
            attention_mask[b, :n] = 1
        batch = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        if self.labels is not None:
            batch["labels"] = self.labels[rows]
        return batch


def encode_texts(tokenizer, texts, pairs=None, labels=None, max_length=None):
    """Turn texts (or pairs of texts) into token ids, cut to max_length tokens, special tokens included.

    labels: see `EncodedTexts`
    """
    if isinstance(texts, str) or not hasattr(texts, "__iter__"):
        raise TypeError(f"texts: expected a list of texts, got {type(texts).__name__}")
    texts = list(texts)
    if pairs is not None and len(pairs) != len(texts):
        raise ValueError(f"pairs: expected one for each of {len(texts)} texts, got {len(pairs)}")
    if not texts:
        return EncodedTexts([], [], labels, tokenizer.pad_token_id)
    cut = {} if max_length is None else {"truncation": True, "max_length": max_length}
    encoding = tokenizer(texts, None if pairs is None else list(pairs), return_token_type_ids=True, **cut)
    return EncodedTexts(encoding["input_ids"], encoding["token_type_ids"], labels, tokenizer.pad_token_id)
