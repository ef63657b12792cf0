"""Softmax and cross-entropy in one pass for each row. The logarithms of probabilities are of the type C."""

import numpy as np

from bertnp.backend.arrays import is_array, to_numpy
from bertnp.backend.cupy_kernels.device import FLOATS, as_rows, computed_type, empty, launch, on_device, threads_for
from bertnp.backend.formula import kernel


def labels_on_device(labels, ignore_index, like):
    """Labels as int32, -1 for those that do not count, and how many count (at least 1)."""
    labels = to_numpy(labels).reshape(-1)
    counts = labels != ignore_index
    return on_device(np.where(counts, labels, -1), like, "int32"), max(int(counts.sum()), 1)


@kernel("cross_entropy", backend="cupy", dtypes=FLOATS)
def cross_entropy(logits, labels, ignore_index=-100, label_smoothing=0.0):
    logits = as_rows(logits)
    rows, n = logits.shape
    dtype = computed_type(logits.dtype)
    labels, N = labels_on_device(labels, ignore_index, logits)
    log_p, losses, loss = empty(logits.shape, logits, dtype), empty((rows,), logits, dtype), empty((), logits, dtype)
    launch(logits, "cross_entropy", rows, threads_for(n), logits, labels, float(label_smoothing), log_p, losses, n)
    launch(logits, "sum_all", 1, 256, losses, 1.0 / N, loss, rows)
    return loss, log_p


@kernel("cross_entropy_backward", backend="cupy", dtypes=FLOATS)
def cross_entropy_backward(dloss, log_p, labels, ignore_index=-100, label_smoothing=0.0):
    log_p = as_rows(log_p)
    rows, n = log_p.shape
    labels, N = labels_on_device(labels, ignore_index, log_p)
    dlogits = empty(log_p.shape, log_p)
    number = 0.0
    if not is_array(dloss) or isinstance(dloss, np.ndarray):
        number, dloss = float(dloss), None
    elif dloss.dtype != log_p.dtype:
        dloss = dloss.astype(log_p.dtype)
    launch(
        log_p, "cross_entropy_backward", rows, threads_for(n), log_p, labels, dloss, number, float(label_smoothing), N,
        dlogits, n,
    )  # fmt: skip
    return dlogits
