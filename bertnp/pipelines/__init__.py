"""Prediction from Python: text in, answers out."""

from bertnp.pipelines.classification import TextClassifier, is_trained_classifier
from bertnp.pipelines.masked_words import FillMask
from bertnp.pipelines.next_sentence import NextSentence

__all__ = ["FillMask", "NextSentence", "TextClassifier", "is_trained_classifier"]
