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
from bertnp.training.translation import bleu, evaluate_translation, is_exact, translate

__all__ = [
    "Callback",
    "EvaluationLines",
    "ProgressBar",
    "Trainer",
    "accuracy",
    "bleu",
    "bootstrap_intervals",
    "classification_metrics",
    "confusion_matrix",
    "entity_scores",
    "evaluate",
    "evaluate_pretraining",
    "evaluate_translation",
    "f1_score",
    "is_exact",
    "matthews_correlation",
    "metrics_for",
    "multilabel_metrics",
    "pearson_correlation",
    "predict_logits",
    "regression_metrics",
    "span_scores",
    "spearman_correlation",
    "translate",
]
