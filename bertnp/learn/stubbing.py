"""Stubs: what a student starts from, made from the library's own functions so that they can't drift from them."""

import ast
import builtins
import inspect
import itertools
import shutil
import textwrap

from bertnp.backend.files import write_text
from bertnp.backend.formula import Formula
from bertnp.learn.exercises import exercise_of, registry
from bertnp.learn.loading import parse, read
from bertnp.learn.showing import without_body

IMPORTS = "import math\n\nimport numpy as np\n\nimport bertnp.functional as F"
TO_WRITE = "yours to write"
WIDTH = 100


def textbook_of(function):
    """The plain function behind a function of the library."""
    return function.textbook if isinstance(function, Formula) else function


def stub(exercise):
    """The functions of an exercise as a student gets them: the task, then signature, docstring and nothing more."""
    points = "1 point" if exercise.points == 1 else f"{exercise.points} points"
    title = f"{exercise.number}  {exercise.title} ({points})"
    comment = "\n".join(f"# {line}" for line in [title, *textwrap.wrap(exercise.task, WIDTH)])
    return "\n\n\n".join([comment, *(stub_of(exercise, name) for name in exercise.functions)]) + "\n"


def stub_of(exercise, name):
    """One function: the first lines and the docstring of its source, and an exception that says it is unwritten."""
    lines, _ = inspect.getsourcelines(textbook_of(exercise.source[name]))
    text = textwrap.dedent("".join(lines))
    function = ast.parse(text).body[0]
    text = "\n".join(text.splitlines()[function.lineno - 1 :]).replace(f"def {function.name}(", f"def {name}(", 1)
    return without_body(text, f'    raise NotImplementedError("{unwritten(exercise)}")')


def unwritten(exercise):
    """What a stub says when it is called."""
    return f"{exercise.number}: {TO_WRITE}"


def stub_file(chapter, exercises=None):
    """The file of a chapter: a head, the imports that the bodies need, and a stub of every exercise.

    exercises: those of the registry of this chapter where None. ValueError where there is none.
    """
    if exercises is None:
        exercises = [exercise for exercise in registry().values() if exercise.chapter == chapter]
    if not exercises:
        known = sorted({exercise.chapter for exercise in registry().values()})
        raise ValueError(f"chapter {chapter} has no exercise to code; there are some in {', '.join(map(str, known))}")
    head = [
        f"# Chapter {chapter:02}, exercises. Write a function in place of its `raise` line, then, for instance:",
        f"#   bertnp learn check {exercises[0].number}",
        "# F holds the formulas of the library: call what you like of them, but not what you are to write.",
    ]
    imports = "\n".join([IMPORTS, *sorted({line for exercise in exercises for line in imports_of(exercise)})])
    return "\n".join(head) + f"\n\n{imports}\n\n\n" + "\n\n".join(map(stub, exercises))


def imports_of(exercise):
    """The names that the first lines of an exercise's functions read (a default, a type), as lines of import."""
    lines = []
    for source in exercise.source.values():
        source = textbook_of(source)
        tree = ast.parse(textwrap.dedent(inspect.getsource(source))).body[0]
        kept = [*tree.args.defaults, *filter(None, tree.args.kw_defaults), tree.returns]
        kept += [argument.annotation for argument in (*tree.args.args, *tree.args.kwonlyargs)]
        names = {node.id for part in kept if part for node in ast.walk(part) if isinstance(node, ast.Name)}
        names -= {"np", "math", "F", *dir(builtins)}
        lines += [f"from {source.__module__} import {name}" for name in sorted(names)]
    return lines


# the reader's file


def written(path):
    """{name: is it written?} of the functions of exercises in a file, which is not run. Raises BrokenFile.

    A stub is not written; nor is what is only imported there.
    """
    nodes = [node for node in parse(path, read(path)).body if isinstance(node, ast.FunctionDef)]
    return {node.name: not is_stub(node) for node in nodes if exercise_of(node.name)}


def is_stub(node):
    """Whether a parsed function does nothing yet but say that it is to be written."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return len(body) == 1 and isinstance(body[0], ast.Raise) and TO_WRITE in ast.unparse(body[0])


def start(path, exercises):
    """Write the stubs of some exercises of one chapter, or add those that a file lacks; returns the functions' names.

    What is written in the file already stays as it is. Raises BrokenFile where it can't be read.
    """
    if not path.exists():
        write_text(path, stub_file(exercises[0].chapter, exercises))
        return [name for exercise in exercises for name in exercise.functions]
    text = read(path)
    there = {node.name for node in parse(path, text).body if isinstance(node, ast.FunctionDef)}
    added, stubs = [], []
    for exercise in exercises:
        missing = [name for name in exercise.functions if name not in there]
        added += missing
        whole = len(missing) == len(exercise.functions)
        stubs += [stub(exercise).rstrip()] if whole else [stub_of(exercise, name) for name in missing]
    if stubs:
        write_text(path, "\n\n\n".join([text.rstrip(), *stubs]) + "\n")
    return added


def reset(path, exercises):
    """Put the stubs of some exercises in the place of what the reader has written; returns the path of a copy of that.

    A whole chapter's file is written anew. Raises BrokenFile where a function can't be found since the file is broken.
    """
    whole = [exercise for exercise in registry().values() if exercise.chapter == exercises[0].chapter]
    text = None if list(exercises) == whole else without(path, read(path), exercises)
    copy = next(p for n in itertools.count(1) if not (p := path.with_name(f"{path.name}.{n}.bak")).exists())
    shutil.copyfile(path, copy)
    write_text(path, stub_file(exercises[0].chapter) if text is None else text)
    return copy


def without(path, text, exercises):
    """The text of a file with the functions of some exercises as stubs again."""
    asked = {name: exercise for exercise in exercises for name in exercise.functions}
    lines = text.splitlines()
    for node in reversed(parse(path, text).body):
        if isinstance(node, ast.FunctionDef) and node.name in asked:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            lines[first - 1 : node.end_lineno] = stub_of(asked[node.name], node.name).splitlines()
    return "\n".join(lines) + "\n"
