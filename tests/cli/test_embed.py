import io
import json
import sys

import numpy as np
import pytest
from sentence_folder import TEXTS, save_encoder, save_sentence_model
from tiny_model import write_table

from bertnp import SentenceEncoder

WRITTEN = [text for text in TEXTS if text]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_sentence_model(tmp_path_factory.mktemp("sentences"), max_length=16)


@pytest.fixture(scope="module")
def expected(model):
    return SentenceEncoder.from_pretrained(model).encode(WRITTEN)


def lines(output):
    records = [json.loads(line) for line in output.splitlines()]
    return [record["text"] for record in records], np.array([record["vector"] for record in records])


def test_json_lines_from_arguments_files_and_standard_input(run, model, expected, tmp_path, monkeypatch):
    code, out, err = run("embed", *WRITTEN, "--model", model)
    texts, vectors = lines(out)
    assert (code, err, texts) == (0, "", WRITTEN) and vectors == pytest.approx(expected, abs=1e-6)
    file = tmp_path / "a.txt"
    file.write_text("\n".join(WRITTEN) + "\n", encoding="utf-8")
    assert run("embed", "--file", file, "--model", model)[1] == out
    table = write_table(tmp_path / "a.tsv", [(i, text) for i, text in enumerate(WRITTEN)], ("id", "review"))
    assert run("embed", "--file", table, "--text", "review", "--model", model)[1] == out
    monkeypatch.setattr("bertnp.cli.texts.CHUNK", 2)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes()), encoding="utf-8"))
    assert lines(run("embed", "-", "--model", model)[1])[1] == pytest.approx(expected, abs=1e-6)


def test_files_of_vectors(run, model, expected, tmp_path):
    _, out, _ = run("embed", *WRITTEN, "--model", model, "-o", tmp_path / "a.npy")
    assert out == f"4 vectors of 16 numbers: {tmp_path / 'a.npy'}\n"
    assert np.load(tmp_path / "a.npy", allow_pickle=False) == pytest.approx(expected, abs=1e-6)
    run("embed", *WRITTEN, "--model", model, "-o", tmp_path / "a.jsonl")
    texts, vectors = lines((tmp_path / "a.jsonl").read_text(encoding="utf-8"))
    assert texts == WRITTEN and vectors == pytest.approx(expected, abs=1e-6)


def test_options_reach_the_encoder(run, tmp_path):
    folder = save_encoder(tmp_path)
    options = ["--pooling", "cls", "max", "--layers", "1", "-1", "--normalize", "--max-length", "4", "--prompt", "a "]
    _, out, err = run("embed", WRITTEN[0], "--model", folder, *options)
    encoder = SentenceEncoder.from_pretrained(
        folder, pooling=["cls", "max"], layers=[1, -1], normalize=True, max_length=4
    )
    assert lines(out)[1][0] == pytest.approx(encoder.encode(WRITTEN[0], prompt="a "), abs=1e-6)
    assert err == "bertnp: 1 of 1 texts fill all 4 tokens; what is longer was cut (see --max-length)\n"


def test_similar_texts_are_ranked(run, model, tmp_path, monkeypatch):
    file = tmp_path / "a.txt"
    file.write_text("\n".join(WRITTEN) + "\n", encoding="utf-8")
    found = SentenceEncoder.from_pretrained(model).rank("a day", WRITTEN)
    expected = "".join(f"{row['score']:.4f}\t{row['index'] + 1}\t{row['text']}\n" for row in found)
    assert run("similar", "a day", file, "--model", model) == (0, expected, "")
    first = "".join(expected.splitlines(keepends=True)[:2])
    assert run("similar", "a day", file, "--model", model, "--top-k", "2")[1] == first
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes()), encoding="utf-8"))
    assert run("similar", "a day", "-", "--model", model)[1] == expected
    _, out, _ = run("similar", "a day", file, "--model", model, "--format", "jsonl")
    assert json.loads(out.splitlines()[0]) == {"score": pytest.approx(found[0]["score"]), "row": found[0]["index"] + 1,
                                               "text": found[0]["text"]}  # fmt: skip


def test_ranked_texts_that_were_cut_are_mentioned(run, model, tmp_path):
    (tmp_path / "a.txt").write_text("a day\n" + "the film was fine " * 9 + "\n", encoding="utf-8")
    told = "fill all 16 tokens; what is longer was cut (see --max-length)\n"
    assert run("similar", "a day", tmp_path / "a.txt", "--model", model)[2] == f"bertnp: 1 of 2 texts {told}"
    _, _, err = run("similar", "a day " * 20, tmp_path / "a.txt", "--model", model)
    assert err == f"bertnp: 1 of 1 queries {told}bertnp: 1 of 2 texts {told}"


def test_what_is_wrong_is_told_in_one_line(refused, model, tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("the film\n", encoding="utf-8")
    assert refused("embed", "a", "--model", model, "-o", tmp_path / "a.csv") == (
        f"-o {tmp_path / 'a.csv'}: expected a name that ends in .npy or .jsonl"
    )
    assert refused("embed", "--model", model).startswith("give either texts, or - for standard input, or --file")
    assert refused("embed", "a", "--model", model, "--layers", "7").startswith("layers: 7 is none of the model's")
    assert refused("embed", " ", "--model", model) == "a text is blank; there is nothing to read"
    assert "there is no folder" in refused("embed", "a", "--model", tmp_path / "none")
    assert refused("similar", " ", file, "--model", model) == "a text is blank; there is nothing to read"
    assert refused("similar", "a", tmp_path / "b.txt", "--model", model) == f"there is no file {tmp_path / 'b.txt'}"
    (tmp_path / "b.txt").write_bytes(b"\n")
    assert "it is empty" in refused("similar", "a", tmp_path / "b.txt", "--model", model)
