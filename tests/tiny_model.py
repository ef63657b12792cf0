"""A BERT small enough for tests, its vocabulary, and a set of sentences that it can learn by heart in seconds."""

import random

import numpy as np

from bertnp import BertConfig, BertForSequenceClassification, BertTokenizer

GOOD = ["lovely", "great", "fine", "sweet"]
BAD = ["awful", "poor", "dull", "sour"]
THINGS = ["film", "song", "meal", "day", "book"]
OTHERS = ["the", "a", "was", "is", "it", "very", "and", "i", "love", "hate", "you", ".", ",", "!", "##s", "##ly"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = [*SPECIAL, *GOOD, *BAD, *THINGS, *OTHERS]


def tiny_config(**changes):
    sizes = {
        "vocab_size": len(VOCABULARY), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 32, "max_position_embeddings": 24,
    }  # fmt: skip
    return BertConfig(**{**sizes, **changes})


def tiny_tokenizer():
    return BertTokenizer({token: number for number, token in enumerate(VOCABULARY)})


def tiny_classifier(seed=0, dtype=np.float32, **changes):
    return BertForSequenceClassification(tiny_config(**changes), seed=seed, dtype=dtype)


def save_tiny_model(folder, **changes):
    """The files of an untrained tiny classifier with its tokenizer."""
    tiny_classifier(**changes).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def toy_sentences(n, seed=0):
    """n sentences and their labels, "pos" where the word in it is a good one, else "neg"."""
    rng = random.Random(seed)
    rows = []
    for i in range(n):
        label, words = (("pos", GOOD), ("neg", BAD))[i % 2]
        very = "very " * rng.randrange(3)
        rows.append((f"the {rng.choice(THINGS)} was {very}{rng.choice(words)}", label))
    return rows


def write_table(path, rows, header=("sentence", "label")):
    """A TSV file of these rows; returns its path."""
    lines = ["\t".join(map(str, row)) for row in [header, *rows]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
