"""Every picture the commands and chapters draw, in one style."""

from bertnp.plotting.pretraining import accuracy_by_labels, attention, loss_and_floor
from bertnp.plotting.speed import speed
from bertnp.plotting.teaching import curves, layer_norm_circle, matrices, tokens
from bertnp.plotting.training import confusion_matrix, learning_curve, predicted_against_true, training_curves

__all__ = [
    "accuracy_by_labels",
    "attention",
    "confusion_matrix",
    "curves",
    "layer_norm_circle",
    "learning_curve",
    "loss_and_floor",
    "matrices",
    "predicted_against_true",
    "speed",
    "tokens",
    "training_curves",
]
