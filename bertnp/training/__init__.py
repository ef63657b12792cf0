"""Training: the loop, its metrics, and what it reports."""

from bertnp.training.callbacks import Callback, EvaluationLines, ProgressBar
from bertnp.training.evaluation import evaluate, evaluate_pretraining, predict_logits
from bertnp.training.metrics import (
    accuracy,
    classification_metrics,
    confusion_matrix,
    f1_score,
    matthews_correlation,
    metrics_for,
    pearson_correlation,
    regression_metrics,
    spearman_correlation,
)
from bertnp.training.trainer import Trainer

__all__ = [
    "Callback",
    "EvaluationLines",
    "ProgressBar",
    "Trainer",
    "accuracy",
    "classification_metrics",
    "confusion_matrix",
    "evaluate",
    "evaluate_pretraining",
    "f1_score",
    "matthews_correlation",
    "metrics_for",
    "pearson_correlation",
    "predict_logits",
    "regression_metrics",
    "spearman_correlation",
]
