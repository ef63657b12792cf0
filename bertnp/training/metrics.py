"""How good predictions are. All take what was right first, then what was predicted.

A number that is not defined (a correlation with a constant) is None.
"""

import math

import numpy as np


def confusion_matrix(labels, predicted, classes):
    """M[i, j] = how many examples of class i were predicted as class j

    labels, predicted: (n,) integers in 0..classes-1  ->  M: (classes, classes) integers
    """
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix


def accuracy(matrix):
    """The share of examples that were predicted right: trace(M) / sum(M)"""
    return float(np.trace(matrix) / matrix.sum())


def f1_score(matrix, positive=None):
    """F1 = 2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall

    positive: the class it is about; None: the mean over all classes that occur or were predicted ("macro")
    """
    right = np.diag(matrix)
    total = matrix.sum(axis=0) + matrix.sum(axis=1)  # 2 TP + FP + FN of each class
    scores = 2.0 * right / np.maximum(total, 1)
    return float(scores[total > 0].mean() if positive is None else scores[positive])


def matthews_correlation(matrix):
    """R_K = (c s - Σ_k p_k t_k) / √((s² - Σ p_k²) (s² - Σ t_k²));  0 if all labels or all predictions are alike

    c: examples predicted right, s: all examples, t_k: how many are of class k, p_k: how many were predicted as k. For
    two classes it is Matthews' correlation, for more Gorodkin's (2004).
    """
    right, total = int(np.trace(matrix)), int(matrix.sum())
    occur, predicted = (matrix.sum(axis=axis).tolist() for axis in (1, 0))
    covariance = right * total - sum(p * t for p, t in zip(predicted, occur, strict=True))
    spread = (total**2 - sum(p * p for p in predicted)) * (total**2 - sum(t * t for t in occur))
    return covariance / math.sqrt(spread) if spread else 0.0


def pearson_correlation(labels, predicted):
    """r = Σ (x - x̄)(y - ȳ) / √(Σ (x - x̄)² Σ (y - ȳ)²);  None if either is constant

    labels, predicted: (n,) numbers
    """
    x, y = (np.asarray(values, np.float64) for values in (labels, predicted))
    if len(x) < 2 or (x == x[0]).all() or (y == y[0]).all():
        return None
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip(x @ y / math.sqrt((x @ x) * (y @ y)), -1.0, 1.0))


def spearman_correlation(labels, predicted):
    """Pearson's correlation of the ranks, equal values sharing the mean of theirs;  None if either is constant

    labels, predicted: (n,) numbers
    """
    from scipy.stats import rankdata

    return pearson_correlation(rankdata(labels), rankdata(predicted))


def classification_metrics(logits, labels):
    """Accuracy, F1 and Matthews' correlation; the class predicted is that of the largest logit.

    With two classes f1 is about class 1; f1_macro is the mean over the classes.

    logits: (n, C)   labels: (n,) integers
    """
    classes = logits.shape[-1]
    matrix = confusion_matrix(labels, logits.argmax(axis=-1), classes)
    found = {"accuracy": accuracy(matrix)}
    if classes == 2:
        found["f1"] = f1_score(matrix, positive=1)
    return {**found, "f1_macro": f1_score(matrix), "matthews": matthews_correlation(matrix)}


def regression_metrics(predictions, labels):
    """Pearson's and Spearman's correlation, and the root of the mean squared error.

    predictions: (n, 1) or (n,)   labels: (n,) numbers
    """
    predictions, labels = (np.asarray(values, np.float64).reshape(-1) for values in (predictions, labels))
    return {
        "pearson": pearson_correlation(labels, predictions),
        "spearman": spearman_correlation(labels, predictions),
        "rmse": float(np.sqrt(np.mean((predictions - labels) ** 2))),
    }


def metric_names(metrics, classes):
    """What classification_metrics or regression_metrics calls its numbers."""
    if metrics is regression_metrics:
        return ["pearson", "spearman", "rmse"]
    return ["accuracy", *(["f1"] if classes == 2 else []), "f1_macro", "matthews"]


def metrics_for(labels):
    """The metrics that suit a set's labels: integers are classes, floats are numbers."""
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise ValueError(f"metrics: expected one label for each example, got labels of shape {labels.shape}")
    return classification_metrics if labels.dtype.kind in "iu" else regression_metrics
