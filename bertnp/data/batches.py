"""In which order the examples of a set are seen, and cut into which batches."""

import numpy as np

IGNORED = -100  # a place without a label


def epoch_order(n, seed, epoch):
    """The order in which epoch `epoch` (0, 1, ...) sees n examples: a permutation drawn from (seed, epoch) alone."""
    return np.random.default_rng([seed, epoch]).permutation(n)


def batches(order, batch_size):
    """Cut an order into row numbers of one batch after the other; the last may be shorter.

    order: (n,) row numbers  ->  arrays of at most batch_size of them
    """
    if batch_size < 1:
        raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def batches_by_length(lengths, batch_size, part=slice(None)):
    """Row numbers of one batch after the other, examples of like length together, so that there is little padding.

    For evaluation and prediction, where the order plays no part. Examples of one length stay in their order.

    part: which of all the sorted examples
    """
    return batches(np.argsort(lengths, kind="stable")[part], batch_size)


LABELS = ("labels", "next_sentence_label")  # the arguments whose losses are added up


def labelled_items(batch):
    """How many items the mean of each part of a batch's loss runs over, by the argument of its labels.

    Labels that are not -100, or numbers to predict: {"labels": 37, "next_sentence_label": 8}
    """
    if batch.get("labels") is None:
        raise ValueError("there are no labels to learn from")
    return {name: _items(np.asarray(batch[name])) for name in LABELS if batch.get(name) is not None}


def _items(labels):
    return int((labels != IGNORED).sum()) if labels.dtype.kind in "iu" else labels.size
