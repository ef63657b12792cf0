import json
import random
import shlex
from dataclasses import asdict

import numpy as np
import pytest
from tiny_model import tiny_tokenizer, toy_sentences

from bertnp import BertTokenizer
from bertnp.cli.instances import EXAMPLES, readable
from bertnp.data import PretrainingInstance, PretrainingInstances, create_pretraining_instances, make_instances

DOCUMENTS = 40


@pytest.fixture
def corpus(tmp_path):
    """Documents of six sentences, one a line."""
    sentences = [sentence for sentence, _ in toy_sentences(6 * DOCUMENTS)]
    lines = [line for start in range(0, len(sentences), 6) for line in [*sentences[start : start + 6], ""]]
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_instances_are_made_counted_and_shown(run, corpus, pretrained, tmp_path):
    folder = tmp_path / "made"
    code, out, err = run("instances", corpus, "--tokenizer", pretrained, "-o", folder)
    assert code == 0 and err == ""
    train, held_out = (PretrainingInstances.open(folder / name, tiny_tokenizer()) for name in ("train", "held_out"))
    words = sum(len(sentence.split()) for sentence, _ in toy_sentences(6 * DOCUMENTS))
    first, second, third, saved, *rest = out.splitlines()
    assert first == f"corpus    40 documents, 240 sentences, {words:,} tokens"
    tokens = train.lengths.mean()
    assert second.startswith(f"train     {len(train):,} instances of 38 documents; on average {tokens:.1f} tokens, ")
    assert third.startswith(f"held out  {len(held_out):,} instances of 2 documents; on average ")
    assert saved.startswith(f"saved     {folder}, ")
    shown = "\n".join(rest)
    assert [f"instance {number}" in shown for number in (1, 2, 3, 4)] == [True, True, True, False]
    assert shown.count("\n  A  [CLS] ") == shown.count("\n  B  (") == 3 and "[MASK]=" in shown


def test_it_is_the_function_with_the_settings_given(run, corpus, pretrained, tmp_path):
    code, out, err = run(
        "instances", corpus, "--tokenizer", pretrained, "-o", tmp_path / "ours", "--max-length", "20", "--dupe-factor",
        "2", "--short-sequence-probability", "0.3", "--masked-probability", "0.3", "--max-predictions", "3",
        "--whole-word", "--seed", "7", "--hold-out", "0.25", "--corpus-format", "lines", "--quiet",
    )  # fmt: skip
    assert (code, out, err) == (0, "", "")
    settings = {"max_seq_length": 20, "dupe_factor": 2, "short_seq_prob": 0.3, "masked_lm_prob": 0.3,
                "max_predictions_per_seq": 3, "whole_word": True}  # fmt: skip
    more = {"seed": 7, "hold_out": 0.25, "format": "lines"}
    manifest = make_instances(corpus, tiny_tokenizer(), tmp_path / "theirs", **settings, **more)
    assert manifest["settings"] == {**settings, **more}
    assert contents(tmp_path / "ours") == contents(tmp_path / "theirs")


def test_without_held_out_documents_they_are_googles(run, corpus, pretrained, tmp_path):
    folder = tmp_path / "made"
    assert run("instances", corpus, "--tokenizer", pretrained, "-o", folder, "--hold-out", "0", "--quiet")[0] == 0
    tokenizer = tiny_tokenizer()
    sentences = [sentence.split() for sentence, _ in toy_sentences(6 * DOCUMENTS)]
    documents = [sentences[start : start + 6] for start in range(0, len(sentences), 6)]
    expected = create_pretraining_instances(
        documents, tokenizer, 128, 5, 0.1, 0.15, 20, False, random.Random(12345)
    )
    got = PretrainingInstances.open(folder / "train", tokenizer)
    assert [asdict(got.record(row, tokenizer)) for row in range(len(got))] == [asdict(record) for record in expected]
    assert not (folder / "held_out").exists()


def test_what_is_to_be_predicted_is_shown_beside_what_stands_there():
    tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "play", "##ing", "##s", "a", "b"])
    record = PretrainingInstance(
        ["[CLS]", "play", "##ing", "[MASK]", "##s", "[SEP]", "b", "play", "##s", "[SEP]"],
        [0] * 6 + [1] * 4, [3, 6, 8], ["play", "a", "##s"], True,
    )  # fmt: skip
    batch = PretrainingInstances.from_records([record], tokenizer)[0]
    assert readable(batch, tokenizer) == [
        "  A  [CLS] playing [MASK]=play ##s [SEP]",
        "  B  (doesn't follow A)  b=a play ##s=##s [SEP]",
    ]
    batch["next_sentence_label"] = np.array([0])
    assert readable(batch, tokenizer)[1].startswith("  B  (follows A)  b=a")


def test_instances_that_are_there_are_replaced_only_on_request(run, refused, corpus, pretrained, tmp_path):
    command = ("instances", corpus, "--tokenizer", pretrained, "-o", tmp_path / "made", "--quiet")
    assert run(*command)[0] == 0
    assert refused(*command) == f"{tmp_path / 'made'} is not empty; give another folder, or overwrite it (--overwrite)"
    assert run(*command, "--overwrite", "--seed", "1")[0] == 0
    assert json.loads((tmp_path / "made" / "manifest.json").read_text(encoding="utf-8"))["settings"]["seed"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.txt", "made"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no sentence"),
        (b"one film\nthe song\n", "the corpus is a single document, and the next-sentence task needs two"),
        (b"one film\n\nthe song\n\na day\n", "holding out 2 of the 3 documents leaves 1"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "no text file"),
        (b"one film\n\ncaf\xe9\n", "line 3: byte 0xe9 is not UTF-8 text"),
    ],
)
def test_a_corpus_that_is_none_is_one_line(refused, pretrained, tmp_path, data, message):
    file = tmp_path / "corpus.txt"
    file.write_bytes(data)
    error = refused("instances", file, "--tokenizer", pretrained, "-o", tmp_path / "made", "--corpus-format", "lines")
    assert message in error
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.txt"]


def test_missing_and_wrong_arguments_are_one_line(refused, corpus, pretrained, tmp_path):
    command = ("instances", corpus, "-o", tmp_path / "made")
    assert "--tokenizer" in refused(*command)
    tokenizer = ("--tokenizer", pretrained)
    assert "there is no file or folder" in refused("instances", tmp_path / "none", *tokenizer, "-o", tmp_path / "made")
    assert "expected a whole number of at least 5, got '4'" in refused(*command, *tokenizer, "--max-length", "4")
    assert "expected a probability from 0 to 1, got 1.5" in refused(*command, *tokenizer, "--masked-probability", "1.5")
    assert "holds neither tokenizer.json nor vocab.txt" in refused(*command, "--tokenizer", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.txt"]


def test_the_examples_can_be_parsed(run):
    for line in EXAMPLES.splitlines():
        if "bertnp instances" in line:
            code, _, err = run(*shlex.split(line.partition("bertnp ")[2]))
            assert code == 2 and "--help" not in err, (line, err)
