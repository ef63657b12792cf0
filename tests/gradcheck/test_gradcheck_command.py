"""bertnp gradcheck."""

import json

import pytest

from bertnp.cli import main

WRONG = """
def softmax_backward(dy, y):
    return dy * y * (1 - y)

from bertnp.functional import gelu  # imported only: not to be checked
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *arguments):
    code = main(["gradcheck", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_named(capsys, elsewhere):
    code, out, _ = run(capsys, "softmax", "LayerNorm", "--seed", "3", "--method", "5point")
    assert code == 0 and "seed 3" in out and "5point" in out
    assert out.rstrip().endswith("2 checked, 5 gradients: all right")
    assert list(elsewhere.iterdir()) == [], "nothing was asked to be drawn"


def test_groups_and_json(capsys):
    code, out, _ = run(capsys, "formulas")
    assert code == 0 and "attention" in out and "tied_table" in out
    code, out, _ = run(capsys, "Linear", "relu", "--json")
    assert code == 0 and ["Linear", "relu"] == [report["title"] for report in json.loads(out)]


def test_model(capsys):
    code, out, _ = run(capsys, "BertForNextSentencePrediction")
    assert code == 0 and "cls.seq_relationship.weight" in out


def test_your_own_file(capsys, elsewhere):
    (elsewhere / "mine.py").write_text(WRONG, encoding="utf-8")
    code, out, err = run(capsys, "--file", "mine.py", "--figures", "pictures")
    assert code == 1 and "Only the diagonal" in out and "1 checked, 1 gradients: wrong: softmax" in out
    assert (elsewhere / "pictures" / "gradcheck_softmax.png").exists() and "gradcheck_softmax.png" in err
    code, out, _ = run(capsys, "softmax", "--file", "mine.py", "--json", "--no-figures")
    assert code == 1 and json.loads(out)[0]["mistake"] == "only the diagonal"


def test_figures_folder(capsys, elsewhere):
    (elsewhere / "figures").mkdir()
    assert run(capsys, "relu")[0] == 0
    assert (elsewhere / "figures" / "gradcheck_relu.png").exists()
    assert run(capsys, "tanh", "--no-figures")[0] == 0
    assert len(list((elsewhere / "figures").iterdir())) == 1


def test_list(capsys):
    code, out, _ = run(capsys, "--list")
    assert code == 0 and "softmax" in out and "BertLayer" in out and "BertForMaskedLM" in out


@pytest.mark.parametrize("arguments, words", [
    (["sotfmax"], "nothing called 'sotfmax' to check"),
    (["--method", "magic"], "invalid choice: 'magic'"),
    (["--seed", "-1"], "of at least 0"),
    (["--file", "nowhere.py"], "there is no file nowhere.py"),
    (["--file", "empty.py"], "defines no formula"),
    (["--file", "broken.py"], "broken.py raised ZeroDivisionError"),
    (["gelu", "--file", "mine.py"], "neither gelu nor gelu_backward is in it; it has softmax"),
    (["relu", "--figures", "mine.py"], "is no folder"),
])  # fmt: skip
def test_usage_errors(capsys, elsewhere, arguments, words):
    (elsewhere / "mine.py").write_text(WRONG, encoding="utf-8")
    (elsewhere / "empty.py").write_text("", encoding="utf-8")
    (elsewhere / "broken.py").write_text("1 / 0", encoding="utf-8")
    code, out, err = run(capsys, *arguments)
    assert code == 2 and words in err and err.count("\n") == 1 and out == ""
