"""The tables of chapters/README.md, made from chapters, exercises, library and cases: the path, the formulas, ….

python tests/chapters/formula_table.py      writes them anew
"""

import ast
import functools
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from formula_cases import FORWARD_ONLY, cases_of  # noqa: E402

from bertnp.backend import FORMULAS  # noqa: E402
from bertnp.learn.chapters import chapters  # noqa: E402
from bertnp.learn.exercises import registry  # noqa: E402
from bertnp.learn.teaching.student_tree import in_library  # noqa: E402

README = ROOT / "chapters" / "README.md"
TAGGED = re.compile(r"[Ee]quations? (\d+\.\d+(?:(?:, | and )\d+\.\d+)*)")
TAG = re.compile(r"\d+\.\d+")
TWO_DIGITS = re.compile(r"\d\d")
MINUTES = 25  # that a point may take
FOUR_WEEKS = (  # what a week is about, its chapters, its exercises
    ("how to trust a gradient; linear maps, tables", "02, 03, 04", "2.1 2.3 2.6 3.3 3.5 4.1"),
    ("softmax and the loss, layer norm, feed-forward", "05, 06, 07", "5.1 5.2 5.4 6.1 7.1 7.2"),
    ("residuals, attention, heads", "08, 09, 10", "8.1 8.2 9.1 9.2 10.1"),
    ("the whole of BERT, and its training", "11, 12, 13", "11.1 12.2 12.3 13.1"),
)
TEN_WEEKS = (
    ("words, and how to trust a gradient", "00, 01, 02", "1.1 1.2 2.1 2.6"),
    ("linear maps, tables", "03, 04", "3.1 3.2 3.3 3.5 4.1 4.7"),
    ("softmax and the loss", "05", "5.1 5.2 5.4 5.8"),
    ("layer norm, GELU", "06, 07", "6.1 6.3 7.1 7.2"),
    ("gates, dropout, residuals", "07, 08", "7.4 7.7 8.1 8.2"),
    ("attention", "09", "9.1 9.2 9.5 9.6"),
    ("heads, the encoder", "10, 11", "10.1 10.2 11.1"),
    ("what BERT is trained on", "12", "12.1 12.2 12.3 12.6"),
    ("the optimiser, pre-training", "13, 14", "13.1 13.6 13.7 14.6"),
    ("published weights, fine-tuning, looking inside", "15, 16, 17", "11.6 15.6 16.6 17.1"),
)


def shown(chapter):
    """Names that a chapter hands to show()."""
    tree = ast.parse(chapter.path.read_text(encoding="utf-8"))
    calls = (n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", None) == "show")
    return [getattr(argument, "id", getattr(argument, "attr", None)) for call in calls for argument in call.args]


def tags_in_chapter(chapter):
    return re.findall(r"\\tag\{(\d+\.\d+)\}", chapter.path.read_text(encoding="utf-8"))


def tags_in_docstring(text):
    return [tag for found in TAGGED.findall(text or "") for tag in TAG.findall(found)]


@functools.cache
def tags_in_library():
    """tag -> names of the functions and classes whose docstrings have it."""
    tags = {}
    for path in sorted((ROOT / "bertnp").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if TAGGED.search(text) else ():
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                for tag in tags_in_docstring(ast.get_docstring(node)):
                    tags.setdefault(tag, []).append(getattr(node, "name", path.stem))
    return tags


def where_shown():
    """Name of a formula -> the chapter that shows it first."""
    places = {}
    for chapter in chapters(ROOT / "chapters"):
        for name in shown(chapter):
            places.setdefault(name, chapter)
    return places


def table():
    """The lines of the table, a row for each formula that a chapter shows."""
    rows = ["| formula | chapter | function | test |", "|---|---|---|---|"]
    places = where_shown()
    order = sorted((places[name].number, list(FORMULAS).index(name)) for name in FORMULAS if name in places)
    for number, place in order:
        name = list(FORMULAS)[place]
        text = FORMULAS[name].__doc__.splitlines()[0]
        text = re.split(r"\s{3,}(?=[A-Z])", text)[0].strip().replace("|", "\\|")  # without the source
        home = FORMULAS[name].__module__.replace(".", "/") + ".py"
        chapter = places[name].path
        rows.append(f"| {text} | [{number:02}]({chapter.name}) | [`{name}`](../{home}) | `{test_of(name)}` |")
    return "\n".join(rows) + "\n"


def test_of(name):
    """What to hand to pytest to see the formula proved."""
    forward = name.removesuffix("_backward")
    assert cases_of(forward), f"{forward} has no cases"
    file = "forward" if name in FORWARD_ONLY else "gradients"
    return f"tests/functional/test_functional_{file}.py -k {forward}"


def path():
    """The lines of the path through the chapters."""
    rows = ["| | chapter | needs | runtime |", "|---|---|---|---|"]
    for chapter in chapters(ROOT / "chapters"):
        link = f"[{chapter.title}]({chapter.path.name})"
        rows.append(f"| {chapter.number:02} | {link}: {chapter.about} | {chapter.needs} | {chapter.runtime} |")
    return "\n".join(rows) + "\n"


def dependencies():
    """The same as a graph: an arrow from what is needed to what needs it."""
    rows = ["```mermaid", "graph LR"]
    for chapter in chapters(ROOT / "chapters"):
        rows.append(f'    c{chapter.number:02}["{chapter.number:02} {chapter.title}"]')
        rows += [f"    c{needed} --> c{chapter.number:02}" for needed in TWO_DIGITS.findall(chapter.needs)]
    return "\n".join([*rows, "```"]) + "\n"


def exercises():
    """All exercises: what each asks for, what should be done before, and whether the library holds an answer."""
    rows = ["| exercise | points | asks for | after | answer in the library |", "|---|---|---|---|---|"]
    for exercise in registry().values():
        asks, needs = exercise.task.replace("|", "\\|"), ", ".join(exercise.needs)
        answer = "yes" if all(map(in_library, exercise.source.values())) else "no"
        rows.append(f"| {exercise.number} {exercise.title} | {exercise.points} | {asks} | {needs} | {answer} |")
    points = sum(exercise.points for exercise in registry().values())
    return "\n".join([*rows, f"| {len(registry())} exercises | {points} | | | |"]) + "\n"


def plan(weeks):
    """The lines of a course. ValueError where an exercise comes before what it needs."""
    rows = ["| week | is about | chapters | exercises | points | at home, about |", "|---|---|---|---|---|---|"]
    done = set()
    for week, (about, read, numbers) in enumerate(weeks, 1):
        for number in numbers.split():
            missing = set(registry()[number].needs) - done
            if missing:
                raise ValueError(f"week {week}: {number} comes before {', '.join(missing)}")
            done.add(number)
        points = sum(registry()[number].points for number in numbers.split())
        hours = round(points * MINUTES / 30) / 2
        rows.append(f"| {week} | {about} | {read} | {numbers.replace(' ', ', ')} | {points} | {hours:g} hours |")
    return "\n".join(rows) + "\n"


TABLES = {
    "path": path,
    "dependencies": dependencies,
    "four weeks": lambda: plan(FOUR_WEEKS),
    "ten weeks": lambda: plan(TEN_WEEKS),
    "exercises": exercises,
    "formulas": table,
}


def parts(text, name):
    """What stands before a table, the table, and what stands behind it."""
    begin, end = f"<!-- {name}: made by tests/chapters/formula_table.py -->\n", f"<!-- end of {name} -->\n"
    start, stop = text.index(begin) + len(begin), text.index(end)
    return text[:start], text[start:stop], text[stop:]


def main():
    text = README.read_text(encoding="utf-8")
    for name, make in TABLES.items():
        before, _, after = parts(text, name)
        text = before + make() + after
    README.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
