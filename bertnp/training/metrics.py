"""How good predictions are. All take what was right first, then what was predicted.

A number that is not defined (a correlation with a constant) is None.
"""

import math
import re
import string
from collections import Counter

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


def multilabel_metrics(logits, labels):
    """F1 over all decisions (micro) and as the mean over the labels (macro); the share of examples all right.

    A label is predicted where its probability is above a half, σ(logit) > 1/2. A label that neither occurs nor was
    predicted counts nothing in the macro mean.

    logits, labels: (n, C), labels 0 or 1
    """
    predicted, labels = logits > 0, np.asarray(labels) > 0.5
    right = (predicted & labels).sum(axis=0)  # (C,)
    total = predicted.sum(axis=0) + labels.sum(axis=0)  # 2 TP + FP + FN of each label
    scores = 2.0 * right / np.maximum(total, 1)
    return {
        "accuracy": float((predicted == labels).all(axis=1).mean()),
        "f1_micro": float(2.0 * right.sum() / max(total.sum(), 1)),
        "f1_macro": float(scores[total > 0].mean()) if total.any() else 0.0,
    }


def metric_names(metrics, classes):
    """What classification_metrics, regression_metrics or multilabel_metrics calls its numbers."""
    if metrics is regression_metrics:
        return ["pearson", "spearman", "rmse"]
    if metrics is multilabel_metrics:
        return ["accuracy", "f1_micro", "f1_macro"]
    return ["accuracy", *(["f1"] if classes == 2 else []), "f1_macro", "matthews"]


def metrics_for(labels):
    """The metrics that suit a set's labels: integers are classes, floats are numbers, rows of floats several labels."""
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.dtype.kind == "f":
        return multilabel_metrics
    if labels.ndim != 1:
        raise ValueError(f"metrics: expected one label for each example, got labels of shape {labels.shape}")
    return classification_metrics if labels.dtype.kind in "iu" else regression_metrics


# intervals


def bootstrap_intervals(metrics, n, confidence=0.95, resamples=1000, seed=0):
    """Between which values each metric lies on sets of n examples drawn, with replacement, from the n there are.

    They are the (1 - confidence)/2 and (1 + confidence)/2 quantiles of the metric on `resamples` such sets (Efron 1979,
    the percentile method), or (None, None) if it is undefined on any of them. Only the choice of examples is varied,
    not the training.

    metrics: a function of row numbers (n,), each as often as it was drawn  ->  {name: number}
    ->  {name: (low, high)}

        bootstrap_intervals(lambda rows: classification_metrics(logits[rows], labels[rows]), len(labels))
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence}")
    if n < 1 or resamples < 1:
        raise ValueError(f"expected at least one example and one resample, got n = {n}, resamples = {resamples}")
    edges = [(1 - confidence) / 2, (1 + confidence) / 2]
    rng = np.random.default_rng(seed)
    drawn = [metrics(rng.integers(0, n, n)) for _ in range(resamples)]
    intervals = {}
    for name in drawn[0]:
        values = [found[name] for found in drawn]
        undefined = any(value is None for value in values)
        intervals[name] = (None, None) if undefined else tuple(np.quantile(values, edges).tolist())
    return intervals


# entities


def entities(tags):
    """The entities that the tags of one sentence spell: [(type, first, last)], places counted from 0.

    A tag is O, or one of B, I, E, S (begin, inside, end, single) with a type: "B-PER". An I or E goes on with the
    entity before it if the tag before is a B or I of the same type; else it begins one, as B and S always do, so that
    tags which break the scheme are still read (as conlleval does, Tjong Kim Sang & Buchholz 2000).

    Raises ValueError for any other tag.
    """
    found, going_on = [], None
    for place, tag in enumerate(tags):
        letter, _, kind = tag.partition("-")
        kind = kind or "_"
        if tag == "O":
            going_on = None
            continue
        if letter not in ("B", "I", "E", "S"):
            raise ValueError(f"tag {place + 1}, {tag!r}: expected O, or B, I, E or S with a type (such as B-PER)")
        if letter in "IE" and kind == going_on:
            found[-1] = (kind, found[-1][1], place)
        else:
            found.append((kind, place, place))
        going_on = kind if letter in "BI" else None
    return found


def entity_scores(true_tags, predicted_tags, confidence=None):
    """Precision, recall and F1 of whole entities: one is right if its type, its first and its last token are right.

        P = right / predicted,  R = right / there are,  F1 = 2 P R / (P + R);  0 where they would divide by 0

    true_tags, predicted_tags: for each sentence its tags, see `entities`
    confidence: such as 0.95, to give with it how the scores vary with the choice of sentences, by `bootstrap_intervals`
    ->  {"precision", "recall", "f1", "per_type": {type: {"precision", "recall", "f1", "support"}}} over all types
        together and for each; "intervals": {"precision": (low, high), "recall": ..., "f1": ...}, if asked for

    Raises ValueError where a sentence has not as many predicted tags as true ones.
    """
    if len(true_tags) != len(predicted_tags):
        raise ValueError(f"expected predicted tags for each of {len(true_tags)} sentences, got {len(predicted_tags)}")
    counts = []  # of each sentence: {type: [right, predicted, there are]}
    for number, (true, predicted) in enumerate(zip(true_tags, predicted_tags, strict=True), 1):
        if len(true) != len(predicted):
            raise ValueError(f"sentence {number}: expected {len(true)} predicted tags, got {len(predicted)}")
        true, predicted = set(entities(true)), set(entities(predicted))
        counts.append({})
        for column, some in enumerate((true & predicted, predicted, true)):
            for kind, _, _ in some:
                counts[-1].setdefault(kind, [0, 0, 0])[column] += 1
    kinds = sorted(set().union(*counts))
    per_sentence = np.array([[of.get(kind, [0, 0, 0]) for kind in kinds] for of in counts]).reshape(len(counts), -1, 3)
    total = per_sentence.sum(axis=0, dtype=np.int64)  # (types, 3)
    found = _precision_recall_f1(total.sum(axis=0))
    per_type = zip(kinds, total, strict=True)
    found["per_type"] = {kind: _precision_recall_f1(row) | {"support": int(row[2])} for kind, row in per_type}
    if confidence is not None:
        of_sentences = per_sentence.sum(axis=1)  # (n, 3)
        found["intervals"] = bootstrap_intervals(
            lambda rows: _precision_recall_f1(of_sentences[rows].sum(axis=0)), len(counts), confidence
        )
    return found


def _precision_recall_f1(counts):
    right, predicted, there = map(int, counts)
    return {
        "precision": right / predicted if predicted else 0.0,
        "recall": right / there if there else 0.0,
        "f1": 2 * right / (predicted + there) if predicted + there else 0.0,
    }


# answers


def normalize_answer(text):
    """An answer without what should not count: lower case, no ASCII punctuation, no articles, single spaces.

    Rajpurkar et al. 2016, section 6.1; in the order of the official scripts.
    """
    text = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def answer_f1(answer, prediction):
    """F1 = 2 P R / (P + R) of the words that two answers share, each as often as both have it; both normalised.

    Rajpurkar et al. 2016, section 6.1. Where either is empty, or both are, they share no word: 0.
    """
    expected, predicted = normalize_answer(answer).split(), normalize_answer(prediction).split()
    shared = sum((Counter(expected) & Counter(predicted)).values())
    return 2 * shared / (len(expected) + len(predicted)) if shared else 0.0


def span_scores(gold, predictions, no_answer=None, no_answer_threshold=1.0, version=None, confidence=None):
    """Exact match and F1 of answers, as the official scripts of SQuAD 1.1 and 2.0 define them, but from 0 to 1.

    exact: normalised (see `normalize_answer`) the prediction is one of the answers   f1: the best `answer_f1` with any
    In 2.0 a question may have no answer: "" is right then, and exact and f1 are the same. Answers of which nothing is
    left when normalised are not counted among a question's; if there is no other, "" is right (in 1.1 they stay).

    gold: {id: [answer, ...]}, no answer: []   predictions: {id: text}, "" for none; others than gold's play no part
    no_answer: {id: how likely it is that there is no answer}, numbers of any scale; 2.0 only
    no_answer_threshold: predictions whose no_answer is above it count as ""
    version: "1.1" or "2.0"; None: 2.0 if some question has no answer or no_answer is given
    confidence: such as 0.95, to give with it how the scores vary with the choice of questions, by `bootstrap_intervals`

    ->  {"exact", "f1", "total"}; of 2.0 also "HasAns_exact", "HasAns_f1", "HasAns_total" over the questions with an
        answer and "NoAns_..." over those without, where there are any; given no_answer also the best that another
        threshold would give: "best_exact", "best_exact_thresh", "best_f1", "best_f1_thresh"; "intervals" if asked for

    Raises ValueError for a question without a prediction, or without a no_answer if that is given.
    """
    version = version or ("2.0" if no_answer is not None or not all(gold.values()) else "1.1")
    if version not in ("1.1", "2.0"):
        raise ValueError(f"version: expected '1.1' or '2.0', got {version!r}")
    if not gold:
        raise ValueError("gold: there are no questions")
    if version == "1.1" and not all(gold.values()):
        raise ValueError("gold: in version 1.1 every question has an answer, here some have none")
    _check_all_there("predictions", predictions, gold)
    scored = _scores_2 if version == "2.0" else _scores_1
    answered, exact, f1 = np.array([scored(gold[key], predictions[key]) for key in gold]).T  # (n,) each
    found = {}
    if no_answer is not None:
        if version == "1.1":
            raise ValueError("no_answer: in version 1.1 every question has an answer")
        _check_all_there("no_answer", no_answer, gold)
        doubt = np.array([no_answer[key] for key in gold], np.float64)
        guessed = np.array([bool(predictions[key]) for key in gold])
        for name, values in (("exact", exact), ("f1", f1)):
            found[f"best_{name}"], found[f"best_{name}_thresh"] = best_threshold(values, doubt, answered, guessed)
        exact, f1 = (np.where(doubt > no_answer_threshold, 1 - answered, values) for values in (exact, f1))
    means = {"exact": float(exact.mean()), "f1": float(f1.mean()), "total": len(gold)}
    if version == "2.0":
        for name, some in (("HasAns", answered > 0), ("NoAns", answered == 0)):
            if some.any():
                means |= {f"{name}_exact": float(exact[some].mean()), f"{name}_f1": float(f1[some].mean())}
                means[f"{name}_total"] = int(some.sum())
    found = means | found
    if confidence is not None:
        found["intervals"] = bootstrap_intervals(
            lambda rows: {"exact": exact[rows].mean(), "f1": f1[rows].mean()}, len(gold), confidence
        )
    return found


def best_threshold(scores, no_answer, answered, guessed):
    """The mean score with the best threshold of no_answer, and that threshold.

    Questions are taken in the order of their no_answer, the surest of an answer first, and their predictions let stand
    one after the other: an answered question then gains its score, one without answer loses its point if there is a
    guess. The threshold is the no_answer of the last that was let stand when the sum was highest; 0 if none was
    (Rajpurkar et al. 2018, official script).

    scores, no_answer: (n,)   answered, guessed: (n,) truth values, whether there is an answer, and whether one is given
    """
    gains = np.where(answered, scores, np.where(guessed, -1.0, 0.0))
    order = np.argsort(no_answer, kind="stable")
    start = len(scores) - np.count_nonzero(answered)
    sums = start + np.cumsum(gains[order])
    best = int(sums.argmax())
    if sums[best] <= start:
        return start / len(scores), 0.0
    return float(sums[best]) / len(scores), float(no_answer[order[best]])


def _scores_1(answers, prediction):
    """(1, exact, f1) of one question that has an answer, as in SQuAD 1.1."""
    exact = max(normalize_answer(answer) == normalize_answer(prediction) for answer in answers)
    return 1.0, float(exact), max(answer_f1(answer, prediction) for answer in answers)


def _scores_2(answers, prediction):
    """(whether there is an answer, exact, f1) of one question, as in SQuAD 2.0."""
    answered = float(bool(answers))
    answers = [answer for answer in answers if normalize_answer(answer)]
    predicted = normalize_answer(prediction)
    if not answers:
        return answered, float(not predicted), float(not predicted)
    exact = max(normalize_answer(answer) == predicted for answer in answers)
    return answered, float(exact), max(answer_f1(answer, prediction) for answer in answers)


def _check_all_there(name, values, gold):
    missing = [key for key in gold if key not in values]
    if missing:
        raise ValueError(f"{name}: {len(missing)} of {len(gold)} questions have none (the first is {missing[0]!r})")
