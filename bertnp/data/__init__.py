"""Plain and labelled texts from files, as token ids, in batches."""

from bertnp.data.batches import batches, batches_by_length, epoch_order, labelled_items
from bertnp.data.corpus import corpus_files, corpus_hash, guess_corpus_format, read_documents
from bertnp.data.encoded import EncodedTexts, encode_texts
from bertnp.data.instances import PretrainingInstance, create_pretraining_instances
from bertnp.data.masking import DynamicMasking, mask_tokens
from bertnp.data.pretraining import PretrainingInstances, make_instances
from bertnp.data.sentences import split_sentences
from bertnp.data.tables import LabelledTexts, decode_lines, read_table
from bertnp.data.translation import (
    EncodedPairs,
    SentencePairs,
    copy_pairs,
    date_pairs,
    number_pairs,
    read_pairs,
    recall_pairs,
)

__all__ = [
    "DynamicMasking",
    "EncodedPairs",
    "EncodedTexts",
    "LabelledTexts",
    "PretrainingInstance",
    "PretrainingInstances",
    "SentencePairs",
    "batches",
    "batches_by_length",
    "copy_pairs",
    "corpus_files",
    "corpus_hash",
    "create_pretraining_instances",
    "date_pairs",
    "decode_lines",
    "encode_texts",
    "epoch_order",
    "guess_corpus_format",
    "labelled_items",
    "make_instances",
    "mask_tokens",
    "number_pairs",
    "read_documents",
    "read_pairs",
    "read_table",
    "recall_pairs",
    "split_sentences",
]
