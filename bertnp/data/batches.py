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


def grouped_order(lengths, batch_size, seed, epoch, batches_together=50):
    """An order of epoch `epoch` whose batches hold examples of like length, so that there is little padding.

    The epoch's permutation is cut into stretches of 50 batches; each is sorted by length and cut into batches, and all
    batches are shuffled. If one is short, it comes last.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    stretches = batches(order, batch_size * batches_together)
    sorted_order = np.concatenate([rows[np.argsort(lengths[rows], kind="stable")] for rows in stretches])
    whole, rest = np.split(sorted_order, [len(order) // batch_size * batch_size])
    return np.concatenate([rng.permutation(whole.reshape(-1, batch_size)).reshape(-1), rest])


LABELS = ("labels", "next_sentence_label")  # the arguments whose losses are added up


def labelled_items(batch, class_weights=None):
    """How many items the mean of each part of a batch's loss runs over, by the argument of its labels.

    Labels that are not -100, or numbers to predict: {"labels": 37, "next_sentence_label": 8}. The places of answers
    count as one label. Where classes have weights, it is the sum of the labels' weights.
    """
    if batch.get("start_positions") is not None:
        return {"labels": len(batch["start_positions"])}
    if batch.get("labels") is None:
        raise ValueError("there are no labels to learn from")
    return {name: _items(np.asarray(batch[name]), class_weights) for name in LABELS if batch.get(name) is not None}


def _items(labels, class_weights):
    if labels.dtype.kind not in "iu":
        return labels.size
    counted = labels[labels != IGNORED]
    return counted.size if class_weights is None else float(np.asarray(class_weights)[counted].sum())
