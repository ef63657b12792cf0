"""Prediction from Python: text in, answers out."""

from bertnp.pipelines.classification import TextClassifier, is_trained_classifier
from bertnp.pipelines.making import TASKS, pipeline
from bertnp.pipelines.masked_words import FillMask
from bertnp.pipelines.next_sentence import NextSentence
from bertnp.pipelines.sentence_vectors import SentenceEncoder
from bertnp.pipelines.translation import Translation, Translator

__all__ = [
    "FillMask",
    "NextSentence",
    "SentenceEncoder",
    "TASKS",
    "TextClassifier",
    "Translation",
    "Translator",
    "is_trained_classifier",
    "pipeline",
]
