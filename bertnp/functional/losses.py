"""Losses: each a mean, so that its size does not depend on the batch."""

import numpy as np

from bertnp.backend import array_module, as_array, formula, to_numpy
from bertnp.functional.activations import sigmoid
from bertnp.functional.softmax_functions import log_softmax


def labelled_rows(labels, ignore_index, like):
    """Row numbers and labels of the rows that count, as arrays beside `like`, and how many they are (at least 1)."""
    labels = to_numpy(labels).reshape(-1)
    rows = np.flatnonzero(labels != ignore_index)
    return as_array(rows, like=like), as_array(labels[rows], like=like), max(len(rows), 1)


@formula
def cross_entropy(logits, labels, ignore_index=-100, label_smoothing=0.0):
    """L = (1/N) Σ_i [(1 - ε) (-log p_i[y_i]) + ε (1/C) Σ_c (-log p_i[c])],  p_i = softmax(logits_i)

    The sum runs over the N rows whose label is not ignore_index; with N = 0 the loss is 0. ε = label_smoothing moves
    that share of the target to all classes alike (Szegedy et al. 2016, section 7).

    logits: (n, C)   labels: (n,) integers  ->  loss: ()   log_p: (n, C)

    Chapter 05, equation 5.5.
    """
    log_p = log_softmax(logits)
    rows, columns, N = labelled_rows(labels, ignore_index, like=logits)
    loss = -log_p[rows, columns].sum() * ((1.0 - label_smoothing) / N)
    if label_smoothing:
        loss = loss - log_p[rows].sum() * (label_smoothing / (N * logits.shape[-1]))
    return loss, log_p


@formula
def cross_entropy_backward(dloss, log_p, labels, ignore_index=-100, label_smoothing=0.0):
    """dlogits_i = dL (p_i - t_i) / N,  t_i = (1 - ε) onehot(y_i) + ε/C;  0 where the label is ignore_index

    dloss: () or a number   log_p: (n, C)   labels: (n,)  ->  dlogits: (n, C)

    Chapter 05, equation 5.6.
    """
    xp = array_module(log_p)
    rows, columns, N = labelled_rows(labels, ignore_index, like=log_p)
    dlogits = xp.exp(log_p) - label_smoothing / log_p.shape[-1]
    dlogits[rows, columns] -= 1.0 - label_smoothing
    counts = as_array(to_numpy(labels).reshape(-1, 1) != ignore_index, like=log_p)  # (n, 1)
    return dlogits * counts * (dloss * (1.0 / N))


def weighted_targets(labels, class_weights, ignore_index, label_smoothing, like):
    """t: (n, C), zeros in rows without a label, and W, as the weighted cross-entropy has them."""
    labels = to_numpy(labels).reshape(-1, 1)
    counts = labels != ignore_index
    hits = counts & (labels == np.arange(len(class_weights)))  # (n, C)
    smooth = (1.0 - label_smoothing) * hits + label_smoothing / len(class_weights) * counts
    weights, hits, smooth = (as_array(a, like=like, dtype=like.dtype) for a in (class_weights, hits, smooth))
    return smooth * weights, (hits * weights).sum() if counts.any() else 1.0


@formula
def weighted_cross_entropy(logits, labels, class_weights, ignore_index=-100, label_smoothing=0.0):
    """L = (1/W) Σ_i Σ_c -t_i[c] log p_i[c],  t_i[c] = w[c] ((1 - ε) [c = y_i] + ε/C),  W = Σ_i w[y_i]

    The cross-entropy in which an example of class c counts w[c] times; with all w[c] = 1 it is the plain one. The sums
    run over the rows whose label is not ignore_index; without any the loss is 0. Conventions as in PyTorch.

    logits: (n, C)   labels: (n,) integers   class_weights w: (C,)  ->  loss: ()   log_p: (n, C)

    Chapter 16, equation 16.1.
    """
    log_p = log_softmax(logits)
    targets, W = weighted_targets(labels, class_weights, ignore_index, label_smoothing, like=logits)
    return -(targets * log_p).sum() * (1.0 / W), log_p


@formula
def weighted_cross_entropy_backward(dloss, log_p, labels, class_weights, ignore_index=-100, label_smoothing=0.0):
    """dlogits_i = dL (p_i Σ_c t_i[c] - t_i) / W

    dloss: () or a number   log_p: (n, C)   labels: (n,)   class_weights: (C,)  ->  dlogits: (n, C)

    Chapter 16, equation 16.6.
    """
    xp = array_module(log_p)
    targets, W = weighted_targets(labels, class_weights, ignore_index, label_smoothing, like=log_p)
    return (xp.exp(log_p) * targets.sum(axis=-1, keepdims=True) - targets) * (dloss * (1.0 / W))


@formula
def binary_cross_entropy(logits, targets):
    """L = mean of -t log σ(x) - (1 - t) log(1 - σ(x)) = mean of max(x, 0) - t x + log(1 + exp(-|x|))

    The second form overflows for no x. Each class is a yes-or-no question of its own.

    logits: (B, C)   targets t: (B, C) in [0, 1]  ->  loss: ()

    Chapter 05, equation 5.9.
    """
    xp = array_module(logits)
    targets = as_array(targets, like=logits, dtype=logits.dtype)
    positive = logits * (logits.real > 0)
    magnitude = positive * 2.0 - logits  # |x|, written so that complex steps pass through
    return (positive - targets * logits + xp.log1p(xp.exp(-magnitude))).mean()


@formula
def binary_cross_entropy_backward(dloss, logits, targets):
    """dlogits = dL (σ(x) - t) / n,  n the number of all elements

    logits, targets: (B, C)  ->  dlogits: (B, C)

    Chapter 05, equation 5.10.
    """
    targets = as_array(targets, like=logits, dtype=logits.dtype)
    return (sigmoid(logits) - targets) * (dloss * (1.0 / logits.size))


@formula
def weighted_binary_cross_entropy(logits, targets, positive_weights):
    """L = mean of -w[c] t log σ(x) - (1 - t) log(1 - σ(x)) = mean of (1 - t) x + (1 + (w[c] - 1) t) log(1 + exp(-x))

    The binary cross-entropy in which the positive examples of class c count w[c] times.

    logits: (B, C)   targets t: (B, C) in [0, 1]   positive_weights w: (C,)  ->  loss: ()

    Chapter 16, equation 16.2.
    """
    xp = array_module(logits)
    targets, weights = (as_array(a, like=logits, dtype=logits.dtype) for a in (targets, positive_weights))
    positive = logits * (logits.real > 0)
    magnitude = positive * 2.0 - logits  # |x|, written so that complex steps pass through
    softplus = xp.log1p(xp.exp(-magnitude)) + (positive - logits)  # log(1 + exp(-x)), which overflows for no x
    return ((1.0 - targets) * logits + (1.0 + (weights - 1.0) * targets) * softplus).mean()


@formula
def weighted_binary_cross_entropy_backward(dloss, logits, targets, positive_weights):
    """dlogits = dL ((1 - t) σ(x) - w[c] t (1 - σ(x))) / n,  n the number of all elements

    logits, targets: (B, C)   positive_weights w: (C,)  ->  dlogits: (B, C)

    Chapter 16, equation 16.7.
    """
    targets, weights = (as_array(a, like=logits, dtype=logits.dtype) for a in (targets, positive_weights))
    p = sigmoid(logits)
    return ((1.0 - targets) * p - weights * targets * (1.0 - p)) * (dloss * (1.0 / logits.size))


@formula
def mean_squared_error(predictions, targets):
    """L = mean of (x - t)²

    predictions x, targets t: same shape  ->  loss: ()

    Chapter 05, equation 5.11.
    """
    difference = predictions - as_array(targets, like=predictions, dtype=predictions.dtype)
    return (difference * difference).mean()


@formula
def mean_squared_error_backward(dloss, predictions, targets):
    """dx = dL 2 (x - t) / n,  n the number of all elements

    predictions, targets: same shape  ->  dpredictions: same shape

    Chapter 05, equation 5.12.
    """
    difference = predictions - as_array(targets, like=predictions, dtype=predictions.dtype)
    return difference * (dloss * (2.0 / predictions.size))
