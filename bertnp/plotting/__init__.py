"""Every picture the commands and chapters draw, in one style."""

from bertnp.plotting.training import confusion_matrix, learning_curve, predicted_against_true, training_curves

__all__ = ["confusion_matrix", "learning_curve", "predicted_against_true", "training_curves"]
