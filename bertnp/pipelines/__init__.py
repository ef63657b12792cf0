"""Prediction from Python: text in, answers out."""

from bertnp.pipelines.classification import TextClassifier, is_trained_classifier

__all__ = ["TextClassifier", "is_trained_classifier"]
