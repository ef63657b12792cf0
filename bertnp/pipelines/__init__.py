"""Prediction from Python: text in, answers out."""

from bertnp.pipelines.classification import TextClassifier, is_trained_classifier
from bertnp.pipelines.masked_words import FillMask
from bertnp.pipelines.next_sentence import NextSentence
from bertnp.pipelines.translation import Translation, Translator

__all__ = ["FillMask", "NextSentence", "TextClassifier", "Translation", "Translator", "is_trained_classifier"]
