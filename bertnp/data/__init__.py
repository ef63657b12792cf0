"""Plain and labelled texts from files, as token ids, in batches."""

from bertnp.data.answers import find_answers
from bertnp.data.batches import batches, batches_by_length, epoch_order, grouped_order, labelled_items
from bertnp.data.choices import Choices, encode_choices, read_choices
from bertnp.data.corpus import corpus_files, corpus_hash, guess_corpus_format, read_documents
from bertnp.data.encoded import EncodedTexts, encode_texts
from bertnp.data.instances import PretrainingInstance, create_pretraining_instances
from bertnp.data.masking import DynamicMasking, mask_tokens
from bertnp.data.pretraining import PretrainingInstances, make_instances
from bertnp.data.questions import Questions, encode_questions, read_questions
from bertnp.data.sentences import split_sentences
from bertnp.data.tables import LabelledTexts, decode_lines, read_table
from bertnp.data.tagged import TaggedSentences, encode_words, read_tagged, repair_bio
from bertnp.data.translation import (
    EncodedPairs,
    SentencePairs,
    copy_pairs,
    date_pairs,
    number_pairs,
    read_pairs,
    recall_pairs,
)
from bertnp.data.windows import default_stride, most_context, text_windows

__all__ = [
    "Choices",
    "DynamicMasking",
    "EncodedPairs",
    "EncodedTexts",
    "LabelledTexts",
    "PretrainingInstance",
    "PretrainingInstances",
    "Questions",
    "SentencePairs",
    "TaggedSentences",
    "batches",
    "batches_by_length",
    "copy_pairs",
    "corpus_files",
    "corpus_hash",
    "create_pretraining_instances",
    "date_pairs",
    "decode_lines",
    "default_stride",
    "encode_choices",
    "encode_questions",
    "encode_texts",
    "encode_words",
    "epoch_order",
    "find_answers",
    "grouped_order",
    "guess_corpus_format",
    "labelled_items",
    "make_instances",
    "mask_tokens",
    "most_context",
    "number_pairs",
    "read_choices",
    "read_documents",
    "read_pairs",
    "read_questions",
    "read_table",
    "read_tagged",
    "recall_pairs",
    "repair_bio",
    "split_sentences",
    "text_windows",
]
