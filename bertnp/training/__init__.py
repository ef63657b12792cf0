"""Training: the loop, its metrics, and what it reports."""

from bertnp.training.callbacks import Callback, EvaluationLines, ProgressBar
from bertnp.training.evaluation import evaluate, evaluate_pretraining, predict_logits
from bertnp.training.metrics import (
    accuracy,
    bootstrap_intervals,
    classification_metrics,
    confusion_matrix,
    entity_scores,
    f1_score,
    matthews_correlation,
    metrics_for,
    multilabel_metrics,
    pearson_correlation,
    regression_metrics,
    span_scores,
    spearman_correlation,
)
from bertnp.training.trainer import Trainer

__all__ = [
    "Callback",
    "EvaluationLines",
    "ProgressBar",
    "Trainer",
    "accuracy",
    "bootstrap_intervals",
    "classification_metrics",
    "confusion_matrix",
    "entity_scores",
    "evaluate",
    "evaluate_pretraining",
    "f1_score",
    "matthews_correlation",
    "metrics_for",
    "multilabel_metrics",
    "pearson_correlation",
    "predict_logits",
    "regression_metrics",
    "span_scores",
    "spearman_correlation",
]
