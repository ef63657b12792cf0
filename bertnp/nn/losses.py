"""Losses as layers: forward gives the number, backward the gradient of what it was computed from."""

import bertnp.functional as F
from bertnp.nn.module import Module


class CrossEntropyLoss(Module):
    """The mean of -log softmax(logits)[label] over the labels that are not ignore_index.

    logits: (n, C)   labels: (n,) host integers
    """

    def __init__(self, ignore_index=-100, label_smoothing=0.0):
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, logits, labels):
        loss, log_p = F.cross_entropy(logits, labels, self.ignore_index, self.label_smoothing)
        self.save(log_p, labels)
        return loss

    def backward(self, dloss=1.0):
        log_p, labels = self.saved()
        return F.cross_entropy_backward(dloss, log_p, labels, self.ignore_index, self.label_smoothing)


class BinaryCrossEntropyLoss(Module):
    """The mean over all elements of the cross-entropy of σ(logits) with targets in [0, 1]."""

    def forward(self, logits, targets):
        self.save(logits, targets)
        return F.binary_cross_entropy(logits, targets)

    def backward(self, dloss=1.0):
        logits, targets = self.saved()
        return F.binary_cross_entropy_backward(dloss, logits, targets)


class MeanSquaredErrorLoss(Module):
    """The mean over all elements of (prediction - target)²."""

    def forward(self, predictions, targets):
        self.save(predictions, targets)
        return F.mean_squared_error(predictions, targets)

    def backward(self, dloss=1.0):
        predictions, targets = self.saved()
        return F.mean_squared_error_backward(dloss, predictions, targets)
