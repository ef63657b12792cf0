"""Every picture the commands and chapters draw, in one style."""

from bertnp.plotting.grades import exercise_results
from bertnp.plotting.heads import ablation, head_importance
from bertnp.plotting.pretraining import accuracy_by_labels, attention, loss_and_floor
from bertnp.plotting.speed import roofline, speed
from bertnp.plotting.teaching import curves, layer_norm_circle, matrices, tokens
from bertnp.plotting.training import confusion_matrix, learning_curve, predicted_against_true, sweep, training_curves
from bertnp.plotting.translation import cross_attention, sinusoids

__all__ = [
    "ablation",
    "accuracy_by_labels",
    "attention",
    "confusion_matrix",
    "cross_attention",
    "curves",
    "exercise_results",
    "head_importance",
    "layer_norm_circle",
    "learning_curve",
    "loss_and_floor",
    "matrices",
    "predicted_against_true",
    "roofline",
    "sinusoids",
    "speed",
    "sweep",
    "tokens",
    "training_curves",
]
