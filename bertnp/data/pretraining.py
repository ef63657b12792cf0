"""Pre-training instances in a folder: made once from a corpus, then read row by row without being in memory.

The folder, all arrays in NumPy's .npy format:

    manifest.json              format and version, the corpus's files and hashes, the vocabulary's hash, special ids,
                               settings, seed, counts, and the size of every file below
    corpus/tokens.npy          (T,)      ids of the whole corpus, each token once, in the smallest type that holds them
           sentences.npy       (n + 1,)  where in tokens each sentence begins, and the end of the last
           documents.npy       (d + 1,)  where in sentences each document begins, and the end of the last
    train/ stretches.npy       (N, 4)    A is tokens[s[0]:s[1]], B is tokens[s[2]:s[3]]: sentences aren't copied
           random_next.npy     (N,)      whether B doesn't follow A
           predictions.npy     (N + 1,)  where in the next two each instance's masked places begin
           positions.npy       (M,)      the masked places in [CLS] A [SEP] B [SEP], ascending
           replacements.npy    (M,)      the id that is put there
           order.npy           (N,)      row i of the set is instance order[i] of these arrays: the last shuffle
           documents.npy       (k,)      the numbers of the documents that the instances are made from
    held_out/                  the same for documents that train/ has nothing of, gone through once

An instance is a few numbers that point into the corpus, so going through the corpus ten times takes little more room
than once. The folder is filled under another name and renamed when it is whole: one that is there is complete.
"""

import hashlib
import json
import math
import random
from array import array
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bertnp.backend.files import atomic_folder, write_text
from bertnp.data.array_files import ArrayWriter, open_array
from bertnp.data.batches import IGNORED
from bertnp.data.corpus import corpus_hash, read_documents
from bertnp.data.instances import (
    SINGLE_DOCUMENT,
    FlatCorpus,
    InstanceSettings,
    PretrainingInstance,
    TokenKinds,
    draw_instances,
    is_continuation,
)

FORMAT = "bertnp pre-training instances"
VERSION = 1
MANIFEST = "manifest.json"
CORPUS_ARRAYS = ("tokens", "sentences", "documents")
SET_ARRAYS = ("stretches", "random_next", "predictions", "positions", "replacements", "order", "documents")
SMALLEST_SET = 2  # documents


class SpecialIds(NamedTuple):
    """Ids of the tokens that are put around and into the text."""

    cls: int
    sep: int
    mask: int
    pad: int

    @classmethod
    def of(cls, tokenizer):
        missing = [name for name in ("mask_token", "pad_token") if getattr(tokenizer, name) is None]
        if missing:
            raise ValueError(f"pre-training needs a {missing[0]}, and the tokenizer has none")
        return cls(tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id, tokenizer.pad_token_id)


# ---- making ----------------------------------------------------------------------------------------------------------


def make_instances(
    paths,
    tokenizer,
    folder,
    *,
    max_seq_length=128,
    dupe_factor=5,
    short_seq_prob=0.1,
    masked_lm_prob=0.15,
    max_predictions_per_seq=None,
    whole_word=False,
    seed=12345,
    hold_out=0.05,
    format=None,
    overwrite=False,
    progress=False,
):
    """Make a folder of pre-training instances of plain-text files, laid out as above; return its manifest.

    Without held-out documents they are those that `create_pretraining_instances` gives for random.Random(seed).

    paths, format: see `bertnp.data.read_documents`   tokenizer: BertTokenizer   folder: where to
    max_seq_length, dupe_factor, short_seq_prob, masked_lm_prob, whole_word: see `create_pretraining_instances`
    max_predictions_per_seq: None: max_seq_length · masked_lm_prob, rounded up
    hold_out: share of the documents, at least two, that are kept for evaluation; 0: none. They are the first of
      numpy.random.default_rng(seed).permutation(documents), and both sets are drawn with random.Random(seed)
    overwrite: replace an older folder of instances   progress: show progress bars

    Nowhere is more of the corpus in memory than a document; of the instances, eight bytes each are.
    Raises ValueError for settings that make no sense, a corpus with too few documents, a folder with something in it.
    """
    folder = Path(folder)
    most = 1 if max_predictions_per_seq is None else max_predictions_per_seq
    settings = InstanceSettings(max_seq_length, dupe_factor, short_seq_prob, masked_lm_prob, most, whole_word)
    if max_predictions_per_seq is None:
        settings = replace(settings, max_predictions_per_seq=max(1, math.ceil(max_seq_length * masked_lm_prob)))
    if settings.max_predictions_per_seq < 1:
        raise ValueError(f"max_predictions_per_seq: expected at least 1, got {max_predictions_per_seq}")
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed: expected a whole number of at least 0, got {seed!r}")
    if not 0 <= hold_out < 1:
        raise ValueError(f"hold_out: expected a share from 0 to below 1, got {hold_out!r}")
    check_target(folder, overwrite)
    special = SpecialIds.of(tokenizer)
    hashes = corpus_hash(paths)
    with atomic_folder(folder) as temporary:
        counts = tokenize_corpus(read_documents(paths, format), tokenizer, temporary / "corpus", progress)
        train, held_out = split_documents(counts["documents"], hold_out, seed)
        sets = {"train": train} | ({"held_out": held_out} if len(held_out) else {})
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "corpus": {**counts, **hashes},
            "vocabulary": describe_vocabulary(tokenizer),
            "special_ids": special._asdict(),
            "settings": {**asdict(settings), "seed": seed, "hold_out": hold_out, "format": format},
            "sets": {},
        }
        kinds = token_kinds(tokenizer)
        for name, documents in sets.items():
            its = settings if name == "train" else replace(settings, dupe_factor=1)
            rng = random.Random(seed)
            manifest["sets"][name] = write_set(temporary, name, documents, kinds, its, rng, progress)
        sizes = {path.relative_to(temporary).as_posix(): path.stat().st_size for path in temporary.rglob("*.npy")}
        manifest["files"] = dict(sorted(sizes.items()))
        write_text(temporary / MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    return manifest


def check_target(folder, overwrite):
    """ValueError where a folder of instances can't be put; what isn't one is never replaced."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; expected a folder to write to")
    if folder.is_dir() and any(folder.iterdir()):
        if not overwrite:
            raise ValueError(f"{folder} is not empty; give another folder, or overwrite it (--overwrite)")
        try:
            read_manifest(folder)
        except ValueError as error:
            raise ValueError(f"{error}; only a folder of instances is overwritten") from None


def split_documents(n, hold_out, seed):
    """(numbers of the documents to train on, held-out ones), ascending, from n documents."""
    if n < SMALLEST_SET:
        raise ValueError(SINGLE_DOCUMENT)
    if not hold_out:
        return np.arange(n), np.arange(0)
    count = max(SMALLEST_SET, round(hold_out * n))
    if n - count < SMALLEST_SET:
        raise ValueError(
            f"holding out {count} of the {n} documents leaves {n - count}, and next sentences need {SMALLEST_SET} on "
            "each side: hold out none (0), or give more documents"
        )
    shuffled = np.random.default_rng(seed).permutation(n)
    return np.sort(shuffled[count:]), np.sort(shuffled[:count])


def tokenize_corpus(documents, tokenizer, folder, progress=False):
    """Write documents, as they come, as the three arrays of a corpus; returns how much it was.

    documents: iterable of lists of sentences (strings); those without a token are left out
    Returns {"documents": d, "sentences": n, "tokens": T}.
    """
    folder = Path(folder)
    folder.mkdir(parents=True)
    ids_type = np.min_scalar_type(max(tokenizer.vocab.values()))
    plain = {"add_special_tokens": False, "return_token_type_ids": False, "return_attention_mask": False}
    with ExitStack() as stack:
        types = {"tokens": ids_type, "sentences": np.int64, "documents": np.int64}
        files = {
            name: stack.enter_context(ArrayWriter(folder / f"{name}.npy", types[name])) for name in CORPUS_ARRAYS
        }
        files["sentences"].extend([0])
        files["documents"].extend([0])
        sentences = tokens = count = 0
        with progress_bar(progress, "tokenizing", unit=" documents") as bar:
            for document in documents:
                before = sentences
                for ids in tokenizer(document, verbose=False, **plain)["input_ids"]:
                    if ids:
                        tokens += len(ids)
                        sentences += 1
                        files["tokens"].extend(ids)
                        files["sentences"].extend([tokens])
                if sentences > before:
                    count += 1
                    files["documents"].extend([sentences])
                bar.update()
    if not count:
        raise ValueError("the corpus is empty: there is no document with text in it")
    return {"documents": count, "sentences": sentences, "tokens": tokens}


def token_kinds(tokenizer):
    """What drawing must know of the ids of a vocabulary."""
    vocabulary = tokenizer.vocab
    continues = bytearray(max(vocabulary.values()) + 1)
    for token, identity in vocabulary.items():
        continues[identity] = is_continuation(token)
    special = SpecialIds.of(tokenizer)
    return TokenKinds(special.cls, special.sep, special.mask, list(vocabulary.values()), continues.__getitem__)


def write_set(folder, name, documents, kinds, settings, rng, progress):
    """Draw the instances of some documents and write the arrays of a set; returns how much it was."""
    (folder / name).mkdir()
    arrays = [np.load(folder / "corpus" / f"{part}.npy", mmap_mode="r") for part in CORPUS_ARRAYS]
    corpus = FlatCorpus(*map(memoryview, arrays))
    types = {
        "stretches": np.min_scalar_type(len(corpus.tokens)),
        "random_next": np.bool_,
        "predictions": np.int64,
        "positions": np.min_scalar_type(settings.max_seq_length - 1),
        "replacements": arrays[0].dtype,
    }
    instances = predictions = tokens = random_next = 0
    with ExitStack() as stack:
        files = {
            part: stack.enter_context(
                ArrayWriter(folder / name / f"{part}.npy", dtype, 4 if part == "stretches" else None)
            )
            for part, dtype in types.items()
        }
        files["predictions"].extend([0])
        total = len(documents) * settings.dupe_factor
        bar = stack.enter_context(progress_bar(progress, name.replace("_", " "), unit=" documents", total=total))
        for drawn in draw_instances(corpus, documents.tolist(), kinds, settings, rng, progress=bar.update):
            instances += 1
            predictions += len(drawn.positions)
            tokens += drawn.first[1] - drawn.first[0] + drawn.second[1] - drawn.second[0] + 3
            random_next += drawn.is_random_next
            files["stretches"].extend([*drawn.first, *drawn.second])
            files["random_next"].extend([drawn.is_random_next])
            files["predictions"].extend([predictions])
            files["positions"].extend(drawn.positions)
            files["replacements"].extend(drawn.replacements)
    order = array("q", range(instances))
    rng.shuffle(order)
    np.save(folder / name / "order.npy", np.frombuffer(order, np.int64))
    np.save(folder / name / "documents.npy", documents)
    return {
        "documents": len(documents),
        "instances": instances,
        "tokens": tokens,
        "predictions": predictions,
        "random_next": random_next,
    }


@contextmanager
def progress_bar(shown, what, **options):
    """A progress bar on standard error, where that is a terminal and it is to be shown."""
    from tqdm import tqdm

    with tqdm(desc=what, disable=None if shown else True, delay=2, leave=False, **options) as bar:
        yield bar


# ---- the vocabulary that instances were made with --------------------------------------------------------------------


def describe_vocabulary(tokenizer):
    """What a tokenizer must agree in with the one that instances were made with: sizes, hash and settings."""
    accents = tokenizer.do_lower_case if tokenizer.strip_accents is None else tokenizer.strip_accents
    return {
        "size": len(tokenizer),
        "sha256": vocabulary_hash(tokenizer),
        "do_lower_case": bool(tokenizer.do_lower_case),
        "strip_accents": bool(accents),
        "tokenize_chinese_chars": bool(tokenizer.tokenize_chinese_chars),
        "mode": tokenizer.mode,
    }


def vocabulary_hash(tokenizer):
    """SHA-256 of the tokens with their ids, in the order of the ids."""
    lines = sorted((identity, token) for token, identity in tokenizer.vocab.items())
    return hashlib.sha256("".join(f"{identity}\t{token}\n" for identity, token in lines).encode()).hexdigest()


def check_vocabulary(made_with, tokenizer, folder):
    """ValueError if a tokenizer isn't the one that a folder's instances were made with."""
    given = describe_vocabulary(tokenizer)
    if given["sha256"] != made_with["sha256"]:
        raise ValueError(
            f"{folder}: these instances were made with another vocabulary ({made_with['size']:,} tokens, "
            f"SHA-256 {made_with['sha256'][:8]}) than the tokenizer's ({given['size']:,}, {given['sha256'][:8]})"
        )
    for name, value in given.items():
        if made_with[name] != value:
            raise ValueError(
                f"{folder}: these instances were made with {name}={made_with[name]!r}, and the tokenizer has {value!r}"
            )


# ---- reading ---------------------------------------------------------------------------------------------------------


def read_manifest(folder):
    """The manifest of a folder that `make_instances` made. ValueError if it isn't one, or of another version."""
    path = Path(folder) / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{folder} is no folder of pre-training instances: it has no {MANIFEST}") from None
    except ValueError as error:
        raise ValueError(f"{path} can't be read as JSON ({error})") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(f"{path} describes no pre-training instances (expected the format {FORMAT!r})")
    if manifest["version"] != VERSION:
        raise ValueError(f"{path}: instances of version {manifest['version']}; this bertnp reads version {VERSION}")
    return manifest


class PretrainingInstances:
    """Pairs of segments with masked words, in batches as `BertForPreTraining` takes them.

        train = PretrainingInstances.open(folder / "train", tokenizer)
        out = model(**train.batch([3, 1, 4]))

    tokens: (T,) ids of a corpus   the others: see the head of this module; `order` None: as they come
    special: SpecialIds
    """

    def __init__(self, tokens, stretches, random_next, predictions, positions, replacements, special, order=None):
        self.tokens = tokens
        self.stretches = stretches
        self.random_next = random_next
        self.predictions = predictions
        self.positions = positions
        self.replacements = replacements
        self.special = special
        self.order = np.arange(len(stretches)) if order is None else order

    @classmethod
    def open(cls, folder, tokenizer=None):
        """The instances in the folder `train` or `held_out` of what `make_instances` made; they stay on the disk.

        tokenizer: must be the one they were made with; None: isn't checked
        Raises ValueError naming the file if one is missing or cut short, or if the vocabulary is another.
        """
        folder = Path(folder)
        if (folder / MANIFEST).is_file():
            sets = ", ".join(read_manifest(folder)["sets"])
            raise ValueError(f"{folder} holds sets of instances; open one of them ({sets})")
        whole, name = folder.parent, folder.name
        manifest = read_manifest(whole)
        if name not in manifest["sets"]:
            raise ValueError(f"{whole} has no instances {name!r}; it has {', '.join(manifest['sets'])}")
        if tokenizer is not None:
            check_vocabulary(manifest["vocabulary"], tokenizer, whole)
        files = manifest["files"]
        tokens = open_array(whole / "corpus" / "tokens.npy", files["corpus/tokens.npy"])
        arrays = {part: open_array(folder / f"{part}.npy", files[f"{name}/{part}.npy"]) for part in SET_ARRAYS}
        del arrays["documents"]
        return cls(tokens, **arrays, special=SpecialIds(**manifest["special_ids"]))

    @classmethod
    def from_records(cls, records, tokenizer):
        """Instances from `create_pretraining_instances`, in memory."""
        vocabulary = tokenizer.vocab
        special = SpecialIds.of(tokenizer)
        tokens, stretches, predictions, positions, replacements = [], [], [0], [], []
        for row, record in enumerate(records):
            try:
                ids = [vocabulary[token] for token in record.tokens]
                labels = [vocabulary[token] for token in record.masked_lm_labels]
            except KeyError as error:
                raise ValueError(f"records[{row}]: the token {error} is not in the tokenizer's vocabulary") from None
            positions += record.masked_lm_positions
            replacements += [ids[position] for position in record.masked_lm_positions]
            predictions.append(len(positions))
            for position, label in zip(record.masked_lm_positions, labels, strict=True):
                ids[position] = label
            end = len(record.tokens) - sum(record.segment_ids) - 1  # of A: where its [SEP] stands
            start = len(tokens)
            middle = start + end - 1
            tokens += ids[1:end] + ids[end + 1 : -1]
            stretches.append((start, middle, middle, len(tokens)))
        if not stretches:
            raise ValueError("records: expected one instance at least, got none")
        return cls(
            np.array(tokens, np.int64),
            np.array(stretches, np.int64),
            np.array([record.is_random_next for record in records]),
            np.array(predictions, np.int64),
            np.array(positions, np.int64),
            np.array(replacements, np.int64),
            special,
        )

    def __len__(self):
        return len(self.order)

    def __getitem__(self, row):
        """One instance: a batch of one."""
        return self.batch([range(len(self))[row]])

    @cached_property
    def lengths(self):
        """Tokens of each instance, with [CLS] and both [SEP]: (n,)"""
        starts_and_ends = np.asarray(self.stretches)[self.order].astype(np.int64)
        return starts_and_ends @ np.array([-1, 1, -1, 1]) + 3

    def batch(self, rows):
        """The instances of these rows with their masks, padded to the longest of them.

        input_ids, attention_mask, token_type_ids: (B, S)   next_sentence_label: (B,), 0: B follows A, 1: it doesn't
        labels: (B, S), the ids to be predicted, -100 where none is
        """
        batch = self.unmasked_batch(rows)
        stored = self.order[np.asarray(rows)]
        begins = self.predictions[stored]
        counts = self.predictions[stored + 1] - begins  # (B,)
        b = np.repeat(np.arange(len(stored)), counts)  # the row of each masked place
        places = np.arange(len(b)) + np.repeat(begins - (counts.cumsum() - counts), counts)
        s = self.positions[places]
        ids = batch["input_ids"]
        labels = np.full_like(ids, IGNORED)
        labels[b, s] = ids[b, s]
        ids[b, s] = self.replacements[places]
        return {**batch, "labels": labels}

    def unmasked_batch(self, rows):
        """The same without masks, the text as it was: input_ids, attention_mask, token_type_ids, next_sentence_label"""
        stored = self.order[np.asarray(rows)]
        a, a_end, b, b_end = (column[:, None] for column in self.stretches[stored].astype(np.int64).T)  # (B, 1)
        first_sep = a_end - a + 1
        last_sep = first_sep + b_end - b + 1
        s = np.arange(last_sep.max() + 1)  # (S,)
        is_second = (s > first_sep) & (s <= last_sep)  # (B, S)
        places = np.where(s < first_sep, a + s - 1, b + s - first_sep - 1)  # in the corpus
        is_text = (s > 0) & (s < last_sep) & (s != first_sep)
        input_ids = np.full(is_text.shape, self.special.pad, np.int64)
        input_ids[is_text] = self.tokens[places[is_text]]
        input_ids[:, 0] = self.special.cls
        input_ids[(s == first_sep) | (s == last_sep)] = self.special.sep
        return {
            "input_ids": input_ids,
            "attention_mask": (s <= last_sep).astype(np.int64),
            "token_type_ids": is_second.astype(np.int64),
            "next_sentence_label": self.random_next[stored].astype(np.int64),
        }

    def record(self, row, tokenizer):
        """One instance with its tokens as strings: PretrainingInstance."""
        batch = self[row]
        labels = batch["labels"][0]
        positions = np.flatnonzero(labels != IGNORED)
        return PretrainingInstance(
            tokenizer.convert_ids_to_tokens(batch["input_ids"][0]),
            batch["token_type_ids"][0].tolist(),
            positions.tolist(),
            tokenizer.convert_ids_to_tokens(labels[positions]),
            bool(batch["next_sentence_label"][0]),
        )
