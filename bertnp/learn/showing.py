"""Showing code as it stands in the library, and arrays with their shapes and numbers."""

import ast
import inspect
import sys
import textwrap
from pathlib import Path

import numpy as np

import bertnp
from bertnp.backend import to_numpy
from bertnp.backend.formula import Formula
from bertnp.learn.progress import open_exercises

PACKAGE = Path(bertnp.__file__).parent
OPEN = "    ...  # yours to write: this exercise is still open"


def show(*code, **arrays):
    """Print functions or classes of the library, read from its own files, and arrays by name.

        show(layer_norm, layer_norm_backward)
        show(x=x, mean=x.mean(axis=-1))

    Of a function whose exercise the reader has still to do, only signature and docstring are shown: formula, shapes.
    """
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # what a terminal can't show doesn't stop the chapter
    for thing in code:
        print(source(thing), end="\n\n")
    for name, values in arrays.items():
        print(numbers(name, values))
    if arrays:
        print()


def source(thing):
    """The code of a function or a class under the name of its file."""
    textbook = thing.textbook if isinstance(thing, Formula) else thing
    lines, _ = inspect.getsourcelines(textbook)
    text = textwrap.dedent("".join(lines)).removeprefix("@formula\n").rstrip()
    if textbook.__name__ in open_exercises():
        text = without_body(text)
    return f"# {place(inspect.getsourcefile(textbook))}\n{text}"


def place(path):
    """A file's name from the package's folder on."""
    path = Path(path)
    return path.relative_to(PACKAGE.parent).as_posix() if path.is_relative_to(PACKAGE) else path.name


def without_body(text, instead=OPEN):
    """A function's code up to the end of its docstring, and a line in place of the rest."""
    function = ast.parse(text).body[0]
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    end = first.end_lineno if documented else first.lineno - 1
    return "\n".join([*text.splitlines()[:end], instead])


def numbers(name, values):
    """A number on one line; an array under its name and shape."""
    values = np.asarray(to_numpy(values)) if hasattr(values, "shape") else np.asarray(values)
    text = np.array2string(values, precision=4, suppress_small=True, max_line_width=110)
    if values.ndim == 0:
        return f"{name} = {text}"
    return f"{name}  {values.shape}\n" + textwrap.indent(text, "    ")
