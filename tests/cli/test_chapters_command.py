import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bertnp.cli import main
from bertnp.learn import chapters

ROOT = Path(__file__).parents[2]


def test_lists_every_chapter_with_its_runtime(capsys):
    assert main(["chapters"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(list((ROOT / "chapters").glob("ch*.py")))
    assert all(re.fullmatch(r"\d\d  \S.*  \[.+\]", line) for line in lines)
    assert lines[0].startswith("00  Quickstart: two sentences") and any("Layer norm" in line for line in lines)


@pytest.mark.parametrize(
    "argv, said",
    [
        (["chapters", "run"], "expected the number of a chapter"),
        (["chapters", "run", "six"], "got 'six'"),
        (["chapters", "run", "99"], "there is no chapter 99; there are 0"),
        (["chapters", "init"], "expected the name of a new folder"),
        (["chapters", "init", "."], "is there already"),
        (["chapters", "sing"], "invalid choice"),
        (["figures", "99"], "there is no chapter 99"),
    ],
)
def test_says_what_is_wrong(argv, said, refused):
    assert said in refused(*argv)


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    """A folder of two chapters, the first of which draws."""
    folder = tmp_path / "book" / "chapters"
    folder.mkdir(parents=True)
    head = "# %% [markdown]\n# # 0{} · {}: an example\n#\n# Needs: nothing. Runtime: 1 second.\n\n# %%\n"
    good = 'import os, sys\nprint("ran", sys.argv[1:])\n'
    good += 'open(os.path.join(os.environ.get("BERTNP_FIGURES", "."), "ch01_a.png"), "w", encoding="utf-8").close()\n'
    (folder / "ch01_good.py").write_text(head.format(1, "Good") + good, encoding="utf-8")
    bad = 'raise ValueError("it went wrong")\n'
    (folder / "ch02_bad.py").write_text(head.format(2, "Bad") + bad, encoding="utf-8")
    monkeypatch.setattr(chapters, "chapters_folder", lambda: folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_runs_a_chapter_with_its_own_options(workshop, capfd):
    assert main(["chapters", "run", "1", "--", "--full"]) == 0
    assert "ran ['--full']" in capfd.readouterr().out
    assert main(["chapters", "run", "2"]) == 1
    assert "it went wrong" in capfd.readouterr().err


def test_draws_the_pictures_of_chapters(workshop, capsys):
    assert main(["figures", "1"]) == 0
    assert (workshop / "book" / "figures" / "ch01_a.png").is_file()
    assert main(["figures", "1", "-o", "other"]) == 0
    assert (workshop / "other" / "ch01_a.png").is_file()
    assert capsys.readouterr().out.endswith("1 pictures drawn in other\n")
    assert main(["figures"]) == 2
    assert "chapter 2 ended with an error: ValueError: it went wrong" in capsys.readouterr().err


def test_unpacks_a_workspace(tmp_path, capsys):
    assert main(["chapters", "init", str(tmp_path / "new")]) == 0
    for name in ("chapters", "figures"):
        files = sorted(p.name for p in (ROOT / name).iterdir() if p.is_file())
        assert sorted(p.name for p in (tmp_path / "new" / name).iterdir()) == files and files
    result = subprocess.run(
        [sys.executable, str(tmp_path / "new" / "chapters" / "ch06_layer_norm.py")],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, encoding="utf-8",
        errors="replace",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert f"picture: {tmp_path / 'new' / 'figures'}" in result.stdout


def test_chapters_of_a_wheel_are_found_by_its_list_of_files(tmp_path, monkeypatch):
    class File:
        name = chapters.QUICKSTART

        def locate(self):
            return tmp_path / "share" / "bertnp" / "chapters" / self.name

    monkeypatch.setattr(chapters.bertnp, "__file__", str(tmp_path / "site-packages" / "bertnp" / "__init__.py"))
    monkeypatch.setattr(chapters.importlib.metadata, "files", lambda name: [File()])
    assert chapters.chapters_folder() == tmp_path / "share" / "bertnp" / "chapters"
    monkeypatch.setattr(chapters.importlib.metadata, "files", lambda name: None)
    with pytest.raises(FileNotFoundError, match="chapters are not installed"):
        chapters.chapters_folder()


def test_makes_a_notebook(tmp_path, capsys):
    pytest.importorskip("jupytext")
    path = tmp_path / "six.ipynb"
    assert main(["chapters", "notebook", "6", "-o", str(path)]) == 0
    first = path.read_bytes()
    cells = json.loads(first)["cells"]
    assert cells[0]["cell_type"] == "markdown" and "# 06 · Layer norm" in "".join(cells[0]["source"])
    assert any("show(layer_norm)" in "".join(cell["source"]) for cell in cells)
    assert main(["chapters", "notebook", "6", "-o", str(path)]) == 0
    assert path.read_bytes() == first
