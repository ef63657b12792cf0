"""Softmax and cross-entropy, a row at a time where rows are long."""

import numpy as np

from bertnp.backend.buffers import empty
from bertnp.backend.formula import kernel
from bertnp.backend.numpy_kernels.blocks import FLOATS, for_blocks


def rows_that_count(labels, ignore_index):
    labels = np.asarray(labels).reshape(-1)
    rows = np.flatnonzero(labels != ignore_index)
    return rows, labels[rows], max(len(rows), 1)


@kernel("cross_entropy", backend="numpy", dtypes=FLOATS)
def cross_entropy(logits, labels, ignore_index=-100, label_smoothing=0.0):
    log_p = empty(logits.shape, logits.dtype)

    def work(number, rows):
        shifted = log_p[rows]
        np.subtract(logits[rows], logits[rows].max(axis=-1, keepdims=True), out=shifted)
        exps = np.exp(shifted, out=empty(shifted.shape, shifted.dtype))
        shifted -= np.log(exps.sum(axis=-1, keepdims=True))

    for_blocks(work, *logits.shape)
    rows, columns, N = rows_that_count(labels, ignore_index)
    loss = -log_p[rows, columns].sum() * ((1.0 - label_smoothing) / N)
    if label_smoothing:
        loss = loss - log_p[rows].sum() * (label_smoothing / (N * logits.shape[-1]))
    return loss, log_p


@kernel("cross_entropy_backward", backend="numpy", dtypes=FLOATS)
def cross_entropy_backward(dloss, log_p, labels, ignore_index=-100, label_smoothing=0.0):
    rows, columns, N = rows_that_count(labels, ignore_index)
    factor = float(dloss) / N
    counts = np.zeros((len(log_p), 1), bool)
    counts[rows] = True
    dlogits = empty(log_p.shape, log_p.dtype)

    def work(number, rows):
        block = np.exp(log_p[rows], out=dlogits[rows])
        if label_smoothing:
            block -= label_smoothing / log_p.shape[-1]
        block *= factor
        block *= counts[rows]

    for_blocks(work, *log_p.shape)
    dlogits[rows, columns] -= (1.0 - label_smoothing) * factor
    return dlogits
