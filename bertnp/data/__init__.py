"""Plain and labelled texts from files, as token ids, in batches."""

from bertnp.data.batches import batches, batches_by_length, epoch_order, labelled_items
from bertnp.data.encoded import EncodedTexts, encode_texts
from bertnp.data.instances import PretrainingInstance, create_pretraining_instances
from bertnp.data.tables import LabelledTexts, decode_lines, read_table

__all__ = [
    "EncodedTexts",
    "LabelledTexts",
    "PretrainingInstance",
    "batches",
    "batches_by_length",
    "create_pretraining_instances",
    "decode_lines",
    "encode_texts",
    "epoch_order",
    "labelled_items",
    "read_table",
]
