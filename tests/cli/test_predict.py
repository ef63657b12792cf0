import io
import json
import sys

import pytest
from tiny_model import save_tiny_model, tiny_config, tiny_tokenizer, toy_sentences, write_table

import bertnp
from bertnp.pipelines import TextClassifier

TEXTS = [text for text, _ in toy_sentences(9, seed=3)]


@pytest.fixture
def stdin(monkeypatch):
    def stdin(data):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="ascii"))

    return stdin


def expected_lines(folder, texts, pairs=None):
    results = TextClassifier.from_pretrained(folder)(texts, pairs)
    return [f"{result['label']}\t{result['score']:.4f}\t" for result in results]


def test_texts_from_the_command_line(run, classifier):
    code, out, err = run("predict", *TEXTS, "--model", classifier)
    assert code == 0 and err == ""
    lines = [start + text for start, text in zip(expected_lines(classifier, TEXTS), TEXTS, strict=True)]
    assert out.splitlines() == lines


def test_json_lines_hold_every_probability(run, classifier):
    code, out, _ = run("predict", *TEXTS, "--model", classifier, "--format", "jsonl", "--batch-size", "2")
    records = [json.loads(line) for line in out.splitlines()]
    expected = TextClassifier.from_pretrained(classifier)(TEXTS)
    assert code == 0 and [record["text"] for record in records] == TEXTS
    for record, result in zip(records, expected, strict=True):
        assert set(record) == {"text", "label", "probability", "probabilities"}
        assert record["label"] == result["label"]
        assert record["probabilities"] == pytest.approx(result["scores"], rel=1e-6)
        assert record["probability"] == max(record["probabilities"].values())


def test_files_lines_and_standard_input_give_what_arguments_give(run, classifier, tmp_path, stdin):
    expected = run("predict", *TEXTS, "--model", classifier)[1]
    table = write_table(tmp_path / "a.tsv", [(i, text) for i, text in enumerate(TEXTS)], ("id", "review"))
    lines = tmp_path / "a.txt"
    lines.write_bytes("\r\n".join([*TEXTS, "", ""]).encode())
    assert run("predict", "--file", table, "--text", "review", "--model", classifier)[1] == expected
    assert run("predict", "--file", lines, "--model", classifier)[1] == expected
    stdin(lines.read_bytes())
    assert run("predict", "-", "--model", classifier)[1] == expected
    stdin(table.read_bytes())
    assert run("predict", "--file", "-", "--text", "review", "--model", classifier)[1] == expected


def test_long_input_is_read_in_pieces_and_stays_in_order(run, classifier, stdin, monkeypatch):
    monkeypatch.setattr("bertnp.cli.texts.CHUNK", 2)
    expected = run("predict", *TEXTS, "--model", classifier)[1]
    stdin("\n".join(TEXTS).encode())
    assert run("predict", "-", "--model", classifier)[1] == expected


def test_pairs(run, classifier, tmp_path):
    second = ["it was fine", "a day"]
    expected = expected_lines(classifier, TEXTS[:2], second)
    _, out, _ = run("predict", *TEXTS[:2], "--second", second[0], "--second", second[1], "--model", classifier)
    assert out.splitlines() == [f"{e}{a}\t{b}" for e, a, b in zip(expected, TEXTS, second, strict=False)]
    file = write_table(tmp_path / "a.tsv", list(zip(TEXTS, second, strict=False)), ("a", "b"))
    assert run("predict", "--file", file, "--text", "a", "--pair", "b", "--model", classifier)[1] == out
    _, out, _ = run("predict", TEXTS[0], "--second", second[0], "--model", classifier, "--format", "jsonl")
    assert json.loads(out)["pair"] == second[0]


def test_line_breaks_and_tabs_in_a_text_do_not_break_the_lines(run, classifier):
    _, out, _ = run("predict", "the\tfilm\nwas fine", "--model", classifier)
    assert out.endswith("\tthe film was fine\n") and out.count("\n") == 1 and out.count("\t") == 2


def test_texts_that_were_cut_are_mentioned(run, classifier, tmp_path):
    long, told = "the film was fine " * 20, "of 2 texts fill all 24 tokens; what is longer was cut (see --max-length)"
    assert run("predict", TEXTS[0], long, "--model", classifier)[2] == f"bertnp: 1 {told}\n"
    (tmp_path / "a.txt").write_text(f"{long}\n{long}\n", encoding="utf-8")
    assert run("predict", "--file", tmp_path / "a.txt", "--model", classifier)[2] == f"bertnp: 2 {told}\n"
    assert run("predict", long, "--model", classifier, "--stride", "4")[2] == ""
    for name, kind in (("reader", bertnp.BertForQuestionAnswering), ("chooser", bertnp.BertForMultipleChoice)):
        kind(tiny_config()).save_pretrained(tmp_path / name)
        tiny_tokenizer().save_pretrained(tmp_path / name)
    _, _, err = run("predict", long, "--question", "was it fine " * 20, "--model", tmp_path / "reader")
    assert err == "bertnp: 1 questions were longer than their share of the window and were cut\n"
    _, _, err = run("predict", "the film", "--choice", "a", "--choice", long, "--model", tmp_path / "chooser")
    assert err == "bertnp: 1 of 1 texts fill all 24 tokens; what is longer was cut (see --max-length)\n"


def test_numbers_and_several_labels(run, tmp_path):
    folder = save_tiny_model(tmp_path / "number", id2label={0: "score"}, problem_type="regression")
    value = TextClassifier.from_pretrained(folder)(TEXTS[0])["score"]
    assert run("predict", TEXTS[0], "--model", folder)[1] == f"{value:.4f}\t{TEXTS[0]}\n"
    record = json.loads(run("predict", TEXTS[0], "--model", folder, "--format", "jsonl")[1])
    assert record == {"text": TEXTS[0], "value": pytest.approx(value)}
    names = {0: "loud", 1: "long"}
    folder = save_tiny_model(tmp_path / "several", id2label=names, problem_type="multi_label_classification")
    scores = TextClassifier.from_pretrained(folder)(TEXTS[0])["scores"]
    expected = f"loud={scores['loud']:.4f} long={scores['long']:.4f}\t{TEXTS[0]}\n"
    assert run("predict", TEXTS[0], "--model", folder)[1] == expected


def test_what_is_wrong_is_told_in_one_line(refused, classifier, pretrained, tmp_path, stdin):
    def refusal(*args, model=classifier):
        return refused("predict", *args, "--model", model)

    source = "give either texts, or - for standard input, or --file (see --help)"
    assert refusal() == source
    assert refusal("a", "--file", "b.txt") == source
    assert refusal("the film", "  ") == "a text is blank; there is nothing to read"
    assert refusal("a", "b", "--second", "c") == "--second: expected one for each of 2 texts, got 1"
    assert refusal("caf\udce9") == "a text is not UTF-8: 'caf\\udce9'"
    assert refusal("the film", model=pretrained).startswith(f"{pretrained} holds no trained classifier")
    assert refusal("--file", tmp_path / "no.txt") == f"there is no file {tmp_path / 'no.txt'}"
    assert refusal("--file", tmp_path / "no.tsv") == f"there is no file {tmp_path / 'no.tsv'}"
    assert "the following arguments are required: --model" in refused("predict", "the film")
    (tmp_path / "empty.txt").write_bytes(b"\n")
    assert refusal("--file", tmp_path / "empty.txt") == (
        f"{tmp_path / 'empty.txt'}: it is empty; there is nothing to read"
    )
    stdin(b"")
    assert refusal("-") == "standard input: it is empty; there is nothing to read"
    stdin(b"the film\n\nthe day\n")
    assert refusal("-") == "standard input, line 2: a blank line; there is nothing to read"
    stdin(b"the film\ncaf\xe9\n")
    assert refusal("-") == "standard input, line 2: not UTF-8 (byte 0xe9); save the file as UTF-8"


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8"])
def test_letters_that_the_terminal_does_not_have(classifier, monkeypatch, encoding):
    """They are written as escapes; JSON stays JSON."""
    from bertnp.cli import main

    text = "the film 很好 é 😀"
    for options, read in (([], None), (["--format", "jsonl"], json.loads)):
        out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stdout", out)
        assert main(["predict", text, "--model", str(classifier), *options]) == 0
        written = out.buffer.getvalue().decode(encoding)
        if read:
            assert read(written)["text"] == text
        elif encoding == "utf-8":
            assert written.split("\t")[2].strip() == text
        else:
            assert written.split("\t")[2].strip() == "the film \\u5f88\\u597d é \\U0001f600"
