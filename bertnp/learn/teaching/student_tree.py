"""What a class gets: stubs, chapters, tests, and a page that says how to begin; and the proof that it holds."""

import ast
import inspect
import re
import shutil
import tempfile
import textwrap
import types
from pathlib import Path

import bertnp
from bertnp.backend.files import atomic_folder, write_text
from bertnp.backend.formula import Formula
from bertnp.learn import chapters
from bertnp.learn.checking import check
from bertnp.learn.loading import load
from bertnp.learn.progress import FILE, FOLDER, Progress
from bertnp.learn.stubbing import stub_file, textbook_of

TOLD_BY_ONE_LINE = 24  # characters of code that stand in a file by more than chance
TEST = '''\
"""Every exercise is right: the checks of `bertnp learn check`, for pytest."""

from pathlib import Path

import pytest

from bertnp.learn.exercises import registry
from bertnp.learn.judging import judge

MINE = Path(__file__).parents[1] / "chapters" / "mine"


@pytest.mark.parametrize("number", [{numbers}])
def test_exercise(number):
    exercise = registry()[number]
    ((_, verdict),), _ = judge(MINE / f"ch{{exercise.chapter:02}}.py", [exercise])
    assert verdict.ok, f"\\n{{verdict.text}}"
'''
README = """\
# {title}

1. Install Python 3.11 or newer, and in a folder of your own bertnp {version}:

   ```
   python3 -m venv .venv
   .venv/bin/pip install bertnp=={version} pytest        # or the file that your teacher gives you
   source .venv/bin/activate
   ```

   On Windows: `py -m venv .venv`, `.venv\\Scripts\\pip install bertnp=={version} pytest`, `.venv\\Scripts\\activate`.
2. Read a chapter: `python chapters/{first_chapter}`.
3. Write the functions in `{first_stub}`, in place of each line `raise NotImplementedError`.
4. Check, from this folder: `bertnp learn check {first}`, or all that you have: `bertnp learn check`; `bertnp learn hint
   {first}` helps. `pytest` runs the same checks.
5. Hand in the files in `chapters/mine` that end in .py. Functions are found by their names: leave those as they are.

{solutions}

| exercise | points | you write |
|---|---|---|
{table}

## The answers are on your computer

What you have not written yet comes from the installed package, so that you can do a later exercise without an
earlier one. The package therefore holds the answers. A check refuses code that calls the library's function in place
of being it, or that reads its file; and when your work is graded, the teacher reads along.
"""
SOLUTIONS = {
    "none": "`bertnp learn solution` shows nothing in this course.",
    "after-pass": "`bertnp learn solution {first}` shows the library's own code, once yours is right.",
}


def make(folder, exercises, numbers, solutions):
    """Write a student's tree into a new folder. numbers: of the chapters   solutions: "none" or "after-pass"

    Raises ValueError where the folder is there already.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is there already; expected the name of a new folder")
    with atomic_folder(folder) as new:
        mine = new / "chapters" / FOLDER
        mine.mkdir(parents=True)
        (new / "tests").mkdir()
        for chapter in chapters.chapters():
            if chapter.number in numbers:
                shutil.copyfile(chapter.path, new / "chapters" / chapter.path.name)
        progress = Progress(mine / FILE, solutions=solutions)
        for chapter, own in by_chapter(exercises).items():
            write_text(mine / f"ch{chapter:02}.py", stub_file(chapter, own))
            for exercise in own:
                progress.start(exercise)
        progress.save()
        quoted = ", ".join(f'"{exercise.number}"' for exercise in exercises)
        write_text(new / "tests" / "test_exercises.py", TEST.format(numbers=quoted))
        write_text(new / "README.md", readme(exercises, new / "chapters", solutions))


def by_chapter(exercises):
    found = {}
    for exercise in exercises:
        found.setdefault(exercise.chapter, []).append(exercise)
    return found


def readme(exercises, folder, solutions):
    first = exercises[0]
    titles = {chapter.number: chapter for chapter in chapters.chapters(folder)}
    shown = titles.get(first.chapter) or next(iter(titles.values()), None)
    functions = [", ".join(f"`{name}`" for name in exercise.functions) for exercise in exercises]
    rows = [f"| {e.number} {e.title} | {e.points} | {names} |" for e, names in zip(exercises, functions, strict=True)]
    numbers = sorted(by_chapter(exercises))
    return README.format(
        title=f"BERT by hand: exercises to chapter{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}",
        version=bertnp.__version__, first=first.number, first_stub=f"chapters/{FOLDER}/ch{first.chapter:02}.py",
        first_chapter=shown.path.name if shown else "chNN_name.py", table="\n".join(rows),
        solutions=SOLUTIONS[solutions].format(first=first.number),
    )  # fmt: skip


# the proof


def faults(folder, exercises, answers=None, seed=0, progress=lambda: None):
    """What is wrong with a student's tree, a sentence each; [] if every stub fails and every solution passes.

    answers: a file with those that the library doesn't have; without it, those are left out
    """
    folder, found = Path(folder), []
    known = load(answers) if answers else {}
    for exercise in exercises:
        path = folder / "chapters" / FOLDER / f"ch{exercise.chapter:02}.py"
        verdict = check(exercise, load(path), seed)
        if verdict.ok or verdict.mistake != "unwritten":
            found.append(
                f"{exercise.number}: its stub gives {verdict.mistake or 'no fault'}, expected: not written yet"
            )
        solved = functions_of(exercise, known)
        if solved:
            verdict = check(exercise, solved, seed)
            if not verdict.ok:
                found.append(f"{exercise.number}: its solution is refused: {verdict.sentence}")
        found += [
            f"{exercise.number}: {path.name} holds a line of its solution: {line}"
            for line in given_away(exercise, path)
        ]
        progress()
    return found


def unanswered(exercise, answers=()):
    """The functions of an exercise to which neither the library nor `answers`, a file's functions, has an answer.

    The library's own may be no answer: where it calls what the exercise keeps closed.
    """
    closed = set(map(id, exercise.closed.values()))
    return [
        name
        for name, source in exercise.source.items()
        if name not in answers
        and (not in_library(source) or (isinstance(source, Formula) and closed & set(map(id, source.calls()))))
    ]


def in_library(source):
    """Whether what a stub was made from has a body that is the answer."""
    return not source.__module__.startswith("bertnp.learn.")


def functions_of(exercise, answers):
    """{name: function} that solve an exercise: `answers`, and the library's code as if a student had written it.

    {} where there is no answer to some of it.
    """
    if unanswered(exercise, answers):
        return {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"solution_{exercise.number}.py"
        path.write_text(solution(exercise, answers), encoding="utf-8")
        return load(path) | {name: answers[name] for name in exercise.functions if name in answers}


def solution(exercise, answers=()):
    """The library's answer as a student's file: its functions, but those in `answers`, and the imports they need."""
    imports, bodies = set(), []
    for name in (name for name in exercise.functions if name not in answers):
        function = textbook_of(exercise.source[name])
        text = body_of(function).replace(f"def {function.__name__}(", f"def {name}(", 1)
        names = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
        for used in sorted(names & function.__globals__.keys() - set(exercise.functions)):
            value = function.__globals__[used]
            is_module = isinstance(value, types.ModuleType)
            imports.add(
                f"import {value.__name__} as {used}" if is_module else f"from {function.__module__} import {used}"
            )
        bodies.append(text)
    return "\n".join(sorted(imports)) + "\n\n\n" + "\n\n\n".join(bodies)


def body_of(function):
    """A function's code from its def line on, without what decorates it."""
    lines, _ = inspect.getsourcelines(function)
    text = textwrap.dedent("".join(lines))
    return "\n".join(text.splitlines()[ast.parse(text).body[0].lineno - 1 :]) + "\n"


def given_away(exercise, path):
    """Lines of an exercise's solution, longer than a few characters, that stand in a file handed out."""
    text = re.sub(r"\s", "", path.read_text(encoding="utf-8"))
    for source in exercise.source.values():
        if in_library(source):
            function = ast.parse(body_of(textbook_of(source))).body[0]
            statements = function.body[1:] if ast.get_docstring(function) else function.body
            for line in "\n".join(map(ast.unparse, statements)).splitlines():
                short = re.sub(r"\s", "", line)
                if len(short) >= TOLD_BY_ONE_LINE and short in text:
                    yield line.strip()
