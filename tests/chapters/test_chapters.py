"""The chapters run from anywhere and draw the same each time; what they say is what the code is."""

import ast
import importlib.util
import os
import re
import sys
from pathlib import Path

import pytest
from formula_table import (
    README,
    ROOT,
    TABLES,
    parts,
    shown,
    tags_in_chapter,
    tags_in_docstring,
    tags_in_library,
    where_shown,
)

from bertnp.backend import FORMULAS
from bertnp.learn.chapters import chapters

CHAPTERS = chapters(ROOT / "chapters")
LESSONS = [chapter for chapter in CHAPTERS if chapter.number > 0]  # all but the quickstart
by_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.path.stem)
by_lesson = pytest.mark.parametrize("chapter", LESSONS, ids=lambda chapter: chapter.path.stem)

WAITING = set()  # formulas that no chapter shows yet
MEASURED = {"ch19_roofline.png"}  # pictures of speed: no two runs are equally fast
SECTIONS = ("## The idea", "## By hand", "## Checked", "## The picture", "## What others do", "## Common mistakes",
            "## Exercises")  # fmt: skip


def text_of(chapter):
    return chapter.path.read_text(encoding="utf-8")


def markdown_of(chapter):
    cells = re.split(r"^# %%", text_of(chapter), flags=re.M)
    return "\n".join(cell for cell in cells if cell.startswith(" [markdown]"))


@by_chapter
def test_runs_from_any_folder_and_draws_the_same_twice(chapter, run_of):
    run = run_of(chapter)
    assert run.returncode == 0, run.errors
    first, second = run.pictures
    assert first.keys() == second.keys()
    assert {name for name in first if first[name] != second[name]} <= MEASURED
    assert sorted(first) == sorted(path.name for path in (ROOT / "figures").glob(f"ch{chapter.number:02}_*"))
    assert first
    assert run.left_behind == []


def test_there_is_no_picture_that_no_chapter_draws():
    numbers = {chapter.number for chapter in CHAPTERS}
    for path in (ROOT / "figures").iterdir():
        assert path.suffix == ".png" and int(re.match(r"ch(\d\d)_", path.name)[1]) in numbers


@by_chapter
def test_first_lines(chapter):
    assert chapter.path.name.startswith(f"ch{chapter.number:02}_")
    needed = [int(number) for number in re.findall(r"\d+", chapter.needs)]
    assert needed == sorted(needed) and all(number < chapter.number for number in needed)
    assert chapter.about and re.match(r"\d+ seconds?|about .*", chapter.runtime)


@by_lesson
def test_has_all_parts(chapter):
    text = markdown_of(chapter)
    assert "**What you will understand.**" in text
    headings = re.findall(r"^# (## .+)$", text, re.M)
    places = [next((i for i, heading in enumerate(headings) if heading.startswith(part)), None) for part in SECTIONS]
    assert None not in places, dict(zip(SECTIONS, places, strict=True))
    assert places == sorted(places)
    exercises = re.findall(rf"^# \*\*{chapter.number}\.(\d+)\*\*", text, re.M)
    assert exercises == [str(i + 1) for i in range(len(exercises))] and 3 <= len(exercises) <= 9
    code = ast.parse(text_of(chapter))
    assert sum(isinstance(node, ast.Assert) for node in ast.walk(code)) >= 5


@by_lesson
def test_formulas_in_text_and_code_bear_the_same_numbers(chapter):
    """Every tag of the text is in a docstring of something the chapter shows, and the other way round."""
    tags = tags_in_chapter(chapter)
    assert tags == sorted(set(tags), key=lambda tag: int(tag.split(".")[1])) and tags
    assert {tag.split(".")[0] for tag in tags} == {str(chapter.number)}
    shows, library = shown(chapter), tags_in_library()
    for tag in tags:
        assert any(name in shows for name in library.get(tag, ())), f"nothing that is shown has equation {tag}"
    for tag, names in library.items():
        if tag.startswith(f"{chapter.number}."):
            assert tag in tags, f"{', '.join(names)}: chapter {chapter.number} has no equation {tag}"


def test_no_formula_bears_the_number_of_a_chapter_that_is_not_there():
    numbers = {str(chapter.number) for chapter in LESSONS}
    assert {tag.split(".")[0] for tag in tags_in_library()} <= numbers


def test_every_formula_is_shown_under_its_number():
    places = where_shown()
    assert {name for name in FORMULAS if name not in places} == WAITING
    for name in set(FORMULAS) - WAITING:
        numbers = {tag.split(".")[0] for tag in tags_in_docstring(FORMULAS[name].__doc__)}
        assert str(places[name].number) in numbers, name  # a later chapter may have its own number for it


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_up_to_date(name):
    table = parts(README.read_text(encoding="utf-8"), name)[1]
    assert table == TABLES[name](), "run tests/chapters/formula_table.py"


def test_links_of_the_readme_lead_somewhere():
    text = README.read_text(encoding="utf-8")
    for name in re.findall(r"\]\(((?:\.\./)?[\w/.]+)\)", text):
        assert (README.parent / name).exists(), name


@by_lesson
def test_shows_code_and_never_copies_it(chapter):
    bodies = {body_of(ast.parse(Path(f.textbook.__code__.co_filename).read_text(encoding="utf-8")), name): name
              for name, f in FORMULAS.items()}  # fmt: skip
    tree = ast.parse(text_of(chapter))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and len(node.body) > 1:
            assert dump(node) not in bodies, f"{node.name} is a copy of {bodies.get(dump(node))}"


def body_of(tree, name):
    return dump(next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == name))


def dump(function):
    """A function's body without docstring, as text."""
    return "\n".join(ast.dump(node) for node in function.body if not isinstance(node, ast.Expr))


@by_lesson
def test_stands_alone_and_draws_the_same_numbers_everywhere(chapter):
    """No chapter imports another or a test; random numbers come from the generator whose stream is frozen."""
    text = text_of(chapter)
    assert "default_rng" not in text and not re.search(r"np\.random\.(?!RandomState\(\d)", text)
    for node in ast.walk(ast.parse(text)):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            assert name.split(".")[0] in {"bertnp", "numpy"} | sys.stdlib_module_names, name


@by_chapter
def test_opens_as_a_notebook(chapter):
    jupytext = pytest.importorskip("jupytext")
    cells = jupytext.read(chapter.path, fmt="py:percent").cells
    kinds = [cell.cell_type for cell in cells]
    assert kinds[0] == "markdown" and kinds.count("code") >= 3
    assert all(cell.source.strip() for cell in cells)


@pytest.mark.skipif(importlib.util.find_spec("ipykernel") is None, reason="needs ipykernel")
def test_runs_as_a_notebook_and_shows_its_picture(tmp_path):
    jupytext, nbclient = pytest.importorskip("jupytext"), pytest.importorskip("nbclient")
    cells = jupytext.read(ROOT / "chapters" / "ch06_layer_norm.py", fmt="py:percent")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    nbclient.NotebookClient(cells, kernel_name="python3", timeout=120).execute(cwd=str(tmp_path), env=environment)
    outputs = [output for cell in cells.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert (tmp_path / "figures" / "ch06_layer_norm.png").is_file()
