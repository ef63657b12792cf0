"""Every picture the commands and chapters draw, in one style."""

from bertnp.plotting.pretraining import accuracy_by_labels, attention, loss_and_floor
from bertnp.plotting.speed import speed
from bertnp.plotting.training import confusion_matrix, learning_curve, predicted_against_true, training_curves

__all__ = [
    "accuracy_by_labels",
    "attention",
    "confusion_matrix",
    "learning_curve",
    "loss_and_floor",
    "predicted_against_true",
    "speed",
    "training_curves",
]
