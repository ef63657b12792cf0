"""Losses as layers: forward gives the number, backward the gradient of what it was computed from."""

import bertnp.functional as F
from bertnp.backend import as_array
from bertnp.nn.module import Module


class CrossEntropyLoss(Module):
    """The mean of -log softmax(logits)[label] over the labels that are not ignore_index.

    logits: (n, C)   labels: (n,) host integers
    class_weights: (C,) how often an example of each class counts; None: once
    """

    def __init__(self, ignore_index=-100, label_smoothing=0.0, class_weights=None):
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.class_weights = class_weights

    def forward(self, logits, labels):
        options = self.ignore_index, self.label_smoothing
        if self.class_weights is None:
            loss, log_p = F.cross_entropy(logits, labels, *options)
        else:
            loss, log_p = F.weighted_cross_entropy(logits, labels, self.weights_beside(logits), *options)
        self.save(log_p, labels)
        return loss

    def backward(self, dloss=1.0):
        log_p, labels = self.saved()
        options = self.ignore_index, self.label_smoothing
        if self.class_weights is None:
            return F.cross_entropy_backward(dloss, log_p, labels, *options)
        return F.weighted_cross_entropy_backward(dloss, log_p, labels, self.weights_beside(log_p), *options)

    def weights_beside(self, logits):
        return as_array(self.class_weights, like=logits, dtype=logits.dtype)


class BinaryCrossEntropyLoss(Module):
    """The mean over all elements of the cross-entropy of σ(logits) with targets in [0, 1].

    class_weights: (C,) how often a positive example of each class counts; None: once
    """

    def __init__(self, class_weights=None):
        self.class_weights = class_weights

    def forward(self, logits, targets):
        self.save(logits, targets)
        if self.class_weights is None:
            return F.binary_cross_entropy(logits, targets)
        return F.weighted_binary_cross_entropy(logits, targets, self.weights_beside(logits))

    def backward(self, dloss=1.0):
        logits, targets = self.saved()
        if self.class_weights is None:
            return F.binary_cross_entropy_backward(dloss, logits, targets)
        return F.weighted_binary_cross_entropy_backward(dloss, logits, targets, self.weights_beside(logits))

    def weights_beside(self, logits):
        return as_array(self.class_weights, like=logits, dtype=logits.dtype)


class MeanSquaredErrorLoss(Module):
    """The mean over all elements of (prediction - target)²."""

    def forward(self, predictions, targets):
        self.save(predictions, targets)
        return F.mean_squared_error(predictions, targets)

    def backward(self, dloss=1.0):
        predictions, targets = self.saved()
        return F.mean_squared_error_backward(dloss, predictions, targets)
