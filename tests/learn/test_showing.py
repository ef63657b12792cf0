import json
import sys
import types

import numpy as np
import pytest

from bertnp.functional import softmax, softmax_backward
from bertnp.learn import draw, open_exercises, show
from bertnp.learn.pictures import figures_folder
from bertnp.nn import LayerNorm


def test_shows_a_formula_as_it_stands_in_its_file(capsys):
    show(softmax, softmax_backward)
    text = capsys.readouterr().out
    assert text.startswith("# bertnp/functional/softmax_functions.py\ndef softmax(x):\n")
    assert "y_j = exp(x_j)" in text and "    return exps / exps.sum" in text
    assert "\ndef softmax_backward(dy, y):\n" in text and "@formula" not in text


def test_shows_a_class_and_a_method(capsys):
    show(LayerNorm, LayerNorm.backward)
    text = capsys.readouterr().out
    assert "class LayerNorm(Module):" in text and "\ndef backward(self, dy):" in text


def test_shows_arrays_and_numbers(capsys):
    show(x=np.array([[1.0, 2.0]]), loss=np.float64(0.5), n=3)
    assert capsys.readouterr().out == "x  (1, 2)\n    [[1. 2.]]\nloss = 0.5\nn = 3\n\n"


def test_survives_a_western_console(monkeypatch, tmp_path):
    with open(tmp_path / "out", "w", encoding="cp1252") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        show(softmax)
    assert r"\u03a3_k" in (tmp_path / "out").read_text(encoding="cp1252")


@pytest.mark.parametrize("place", ["mine/progress.json", "chapters/mine/progress.json", "elsewhere.json"])
def test_an_open_exercise_keeps_its_body_to_itself(monkeypatch, tmp_path, capsys, place):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    if place == "elsewhere.json":
        monkeypatch.setenv("BERTNP_PROGRESS", str(path))
    path.write_text(json.dumps({"open": ["softmax_backward"]}), encoding="utf-8")
    assert open_exercises() == {"softmax_backward"}
    show(softmax_backward, softmax)
    text = capsys.readouterr().out
    assert "def softmax_backward(dy, y):" in text and "dx_j = y_j (dy_j" in text and "dy, y: (..., n)" in text
    assert "return y * (dy" not in text and "yours to write" in text
    assert "return exps / exps.sum" in text  # not an exercise

    path.write_text(json.dumps({"open": []}), encoding="utf-8")  # passed
    show(softmax_backward)
    assert "return y * (dy" in capsys.readouterr().out


def test_a_progress_file_that_is_none(monkeypatch, tmp_path):
    path = tmp_path / "progress.json"
    monkeypatch.setenv("BERTNP_PROGRESS", str(path))
    for text in ("{", "[]", '{"closed": []}'):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match="progress.json: expected JSON"):
            open_exercises()


def test_pictures_go_where_they_belong(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BERTNP_FIGURES", raising=False)
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert figures_folder().resolve() == tmp_path / "figures"  # a notebook
    main.__file__ = str(tmp_path / "work" / "chapters" / "ch01.py")
    assert figures_folder() == tmp_path / "work" / "figures"
    main.__file__ = str(tmp_path / "share" / "bertnp" / "chapters" / "ch01.py")  # installed: nothing is written there
    assert figures_folder().resolve() == tmp_path / "figures"
    monkeypatch.setenv("BERTNP_FIGURES", str(tmp_path / "named"))
    path = draw(lambda path, text: path.write_text(text, encoding="utf-8"), "a.png", text="drawn")
    assert path == tmp_path / "named" / "a.png" and path.read_text(encoding="utf-8") == "drawn"
