import json

import numpy as np
import pytest

from bertnp.training import (
    accuracy,
    bootstrap_intervals,
    classification_metrics,
    confusion_matrix,
    f1_score,
    matthews_correlation,
    metrics_for,
    multilabel_metrics,
    pearson_correlation,
    regression_metrics,
    spearman_correlation,
)
from bertnp.training.metrics import metric_names

# Worked out by hand: 4 right of 6; class 1: TP 2, FP 1, FN 1.
LABELS = np.array([1, 1, 1, 0, 0, 0])
PREDICTED = np.array([1, 1, 0, 1, 0, 0])


def test_a_confusion_matrix_has_a_row_for_each_class_and_a_column_for_each_prediction():
    assert confusion_matrix([0, 0, 1, 2], [0, 2, 1, 1], classes=4).tolist() == [
        [1, 0, 1, 0],
        [0, 1, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 0, 0],
    ]


def test_two_classes_by_hand():
    matrix = confusion_matrix(LABELS, PREDICTED, 2)
    assert accuracy(matrix) == pytest.approx(4 / 6, abs=1e-15)
    assert f1_score(matrix, positive=1) == pytest.approx(4 / 6, abs=1e-15)
    assert f1_score(matrix, positive=0) == pytest.approx(4 / 6, abs=1e-15)
    assert matthews_correlation(matrix) == pytest.approx((2 * 2 - 1 * 1) / 9, abs=1e-15)  # (TP TN - FP FN) / √(3·3·3·3)


def test_stored_values_for_three_classes():
    """scikit-learn 1.9's f1_score(average="macro") and matthews_corrcoef."""
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 3, 40), rng.integers(0, 3, 40)
    matrix = confusion_matrix(labels, predicted, 3)
    assert f1_score(matrix) == pytest.approx(0.3814002089864159, abs=1e-12)
    assert matthews_correlation(matrix) == pytest.approx(0.06891343783106499, abs=1e-12)


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("seed", range(5))
def test_classification_metrics_are_scikit_learns(classes, seed):
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, 60)
    labels[labels == 3] = 2  # with seven classes, one that does not occur
    logits = rng.standard_normal((60, classes))
    logits[np.arange(60), labels] += rng.integers(0, 3, 60)
    logits[:, -1] -= 100.0 * (classes == 7)  # and one that is never predicted
    predicted = logits.argmax(axis=1)
    found = classification_metrics(logits, labels)
    assert found["accuracy"] == pytest.approx(sklearn.accuracy_score(labels, predicted), abs=1e-12)
    assert found["f1_macro"] == pytest.approx(sklearn.f1_score(labels, predicted, average="macro"), abs=1e-12)
    assert found["matthews"] == pytest.approx(sklearn.matthews_corrcoef(labels, predicted), abs=1e-12)
    assert list(found) == metric_names(classification_metrics, classes)
    assert ("f1" in found) == (classes == 2)
    if classes == 2:
        assert found["f1"] == pytest.approx(sklearn.f1_score(labels, predicted), abs=1e-12)
    expected = sklearn.confusion_matrix(labels, predicted, labels=range(classes))
    assert np.array_equal(confusion_matrix(labels, predicted, classes), expected)


def test_classes_that_are_all_alike_give_no_correlation():
    logits = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert classification_metrics(logits, np.array([0, 0])) == {
        "accuracy": 1.0, "f1": 0.0, "f1_macro": 1.0, "matthews": 0.0,
    }  # fmt: skip


def test_correlations_are_scipys():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(1)
    x = rng.integers(0, 6, 50) / 2  # with ties
    y = x + rng.standard_normal(50)
    assert pearson_correlation(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
    assert spearman_correlation(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert pearson_correlation(x, -2 * x + 3) == pytest.approx(-1.0, abs=1e-12)
    assert spearman_correlation(x, np.exp(x)) == pytest.approx(1.0, abs=1e-12)


def test_regression_metrics_take_a_column_and_are_none_where_undefined():
    found = regression_metrics(np.array([[1.0], [2.0], [4.0]]), np.array([1.0, 2.0, 3.0]))
    assert list(found) == metric_names(regression_metrics, 1)
    assert found["rmse"] == pytest.approx((1 / 3) ** 0.5, abs=1e-12)
    assert found["spearman"] == pytest.approx(1.0, abs=1e-12)
    constant = regression_metrics(np.array([2.0, 2.0]), np.array([1.0, 3.0]))
    assert constant == {"pearson": None, "spearman": None, "rmse": 1.0}
    assert json.dumps(constant, allow_nan=False)


def test_metrics_follow_the_labels():
    assert metrics_for(np.array([0, 1])) is classification_metrics
    assert metrics_for(np.array([0.0, 1.0])) is regression_metrics
    assert metrics_for(np.zeros((2, 2))) is multilabel_metrics
    with pytest.raises(ValueError, match=r"got labels of shape \(2, 2, 2\)"):
        metrics_for(np.zeros((2, 2, 2)))


@pytest.mark.parametrize("seed", range(5))
def test_multilabel_metrics_are_scikit_learns(seed):
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (30, 4)).astype(np.float32)
    logits = rng.standard_normal((30, 4)) + 2 * labels
    found = multilabel_metrics(logits, labels)
    assert list(found) == metric_names(multilabel_metrics, 4)
    assert found["accuracy"] == pytest.approx(sklearn.accuracy_score(labels, logits > 0), abs=1e-12)
    assert found["f1_micro"] == pytest.approx(sklearn.f1_score(labels, logits > 0, average="micro"), abs=1e-12)
    assert found["f1_macro"] == pytest.approx(sklearn.f1_score(labels, logits > 0, average="macro"), abs=1e-12)


def test_several_labels_by_hand():
    """Of the third label there is nothing to find, and nothing was: it is left out of the mean."""
    labels = np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
    logits = np.array([[2.0, 1.0, -1.0], [-1.0, 3.0, -2.0]])
    expected = {"accuracy": 0.0, "f1_micro": 4 / 6, "f1_macro": (2 / 3 + 2 / 3) / 2}
    assert multilabel_metrics(logits, labels) == pytest.approx(expected, abs=1e-15)
    assert multilabel_metrics(-np.ones((2, 3)), np.zeros((2, 3))) == {"accuracy": 1.0, "f1_micro": 0.0, "f1_macro": 0.0}


def test_bootstrap_intervals_are_scipys():
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(2).standard_normal(60) ** 2
    (low, high), = bootstrap_intervals(lambda rows: {"mean": values[rows].mean()}, 60, 0.9, 4000).values()
    expected = stats.bootstrap((values,), np.mean, confidence_level=0.9, n_resamples=4000, method="percentile",
                               random_state=np.random.default_rng(3)).confidence_interval  # fmt: skip
    spread = expected.high - expected.low
    assert low == pytest.approx(expected.low, abs=0.05 * spread)
    assert high == pytest.approx(expected.high, abs=0.05 * spread)


def test_bootstrap_intervals_repeat_with_the_seed_and_know_what_is_undefined():
    logits, labels = np.eye(2)[np.tile(PREDICTED, 9)], np.tile(LABELS, 9)

    def intervals(seed):
        metrics = lambda rows: classification_metrics(logits[rows], labels[rows])  # noqa: E731
        return bootstrap_intervals(metrics, len(labels), seed=seed)

    assert intervals(0) == intervals(0) != intervals(1)
    assert intervals(0)["accuracy"][0] < 4 / 6 < intervals(0)["accuracy"][1]
    numbers = np.array([1.0, 2.0])  # half of the draws hold one number twice, which has no correlation with anything
    found = bootstrap_intervals(lambda rows: regression_metrics(numbers[rows], numbers[rows]), 2)
    assert found["pearson"] == (None, None) and found["rmse"] == (0.0, 0.0)
    with pytest.raises(ValueError, match="between 0 and 1, got 95"):
        bootstrap_intervals(lambda rows: {}, 3, confidence=95)
    with pytest.raises(ValueError, match="n = 0"):
        bootstrap_intervals(lambda rows: {}, 0)
