"""Texts as token ids, ready to be put into batches."""

import numpy as np

from bertnp.data.windows import shortened, text_windows


class EncodedTexts:
    """Token ids of sentences or pairs, with their labels where there are any.

    `batch(rows)` gives what a model takes: `model(**examples.batch([3, 1, 4]))`.

    input_ids, token_type_ids: for each example a list of integers, not padded
    labels: (n,) integers (classes), (n,) floats (numbers), (n, C) floats (several classes at once), or None
    pad_token_id: what fills up the shorter rows of a batch, always on the right, so that positions stay the same
    texts: (n,) the text that each row is a window of, counted from 0 and in order; None: each row is one of its own
    """

    def __init__(self, input_ids, token_type_ids, labels=None, pad_token_id=0, texts=None):
        self.input_ids = [np.asarray(ids, np.int64) for ids in input_ids]
        self.token_type_ids = [np.asarray(ids, np.int64) for ids in token_type_ids]
        self.labels = None if labels is None else np.asarray(labels)
        self.pad_token_id = pad_token_id
        self.lengths = np.array([len(ids) for ids in self.input_ids], np.int64)  # (n,)
        self.texts = np.arange(len(self.input_ids)) if texts is None else np.asarray(texts, np.int64)
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
        batch = self.inputs(rows)
        if self.labels is not None:
            batch["labels"] = self.labels[rows]
        return batch

    def inputs(self, rows):
        """What `batch` gives, without labels."""
        shape = len(rows), int(self.lengths[rows].max())
        input_ids = np.full(shape, self.pad_token_id, np.int64)
        token_type_ids = np.zeros(shape, np.int64)
        attention_mask = np.zeros(shape, np.int64)
        for b, row in enumerate(rows):
            n = self.lengths[row]
            input_ids[b, :n] = self.input_ids[row]
            token_type_ids[b, :n] = self.token_type_ids[row]
            attention_mask[b, :n] = 1
        return {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}

    def merge(self, logits):
        """The logits of each text: the mean over its windows.  (n, C) -> (texts, C)"""
        if not len(self) or self.texts[-1] == len(self) - 1:
            return logits
        return window_means(logits, self.texts)


def window_means(logits, texts):
    """(n, C) logits of windows, and the text that each is of, counted from 0 -> (texts, C) means"""
    sums = np.zeros((int(texts[-1]) + 1, *logits.shape[1:]), logits.dtype)
    np.add.at(sums, texts, logits)
    return sums / np.bincount(texts).reshape(-1, *[1] * (logits.ndim - 1)).astype(logits.dtype)


def encode_texts(tokenizer, texts, pairs=None, labels=None, max_length=None, stride=None):
    """Turn texts (or pairs of texts) into token ids, cut to max_length tokens, special tokens included.

    labels: see `EncodedTexts`
    stride: instead of cutting, lay windows over long texts (of pairs: over the second), neighbours sharing so many
      tokens; each window is a row with the label of its text. The first of a pair gets at most half the room.
    """
    if isinstance(texts, str) or not hasattr(texts, "__iter__"):
        raise TypeError(f"texts: expected a list of texts, got {type(texts).__name__}")
    texts = list(texts)
    if pairs is not None and len(pairs) != len(texts):
        raise ValueError(f"pairs: expected one for each of {len(texts)} texts, got {len(pairs)}")
    if not texts:
        return EncodedTexts([], [], labels, tokenizer.pad_token_id)
    if stride is not None:
        if pairs is not None:
            texts, _ = shortened(tokenizer, texts, (max_length - 3) // 2)
        rows, owners = text_windows(tokenizer, texts, pairs, max_length, stride)
        labels = None if labels is None else np.asarray(labels)[owners]
        ids, types = [row.ids for row in rows], [row.type_ids for row in rows]
        return EncodedTexts(ids, types, labels, tokenizer.pad_token_id, owners)
    cut = {} if max_length is None else {"truncation": True, "max_length": max_length}
    encoding = tokenizer(texts, None if pairs is None else list(pairs), return_token_type_ids=True, **cut)
    return EncodedTexts(encoding["input_ids"], encoding["token_type_ids"], labels, tokenizer.pad_token_id)
