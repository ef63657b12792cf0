"""Notebooks, other encodings, and files whose last lines fail."""

import ast
import json

import pytest

from bertnp.learn.teaching.notebooks import as_python, definitions, place


def notebook(*cells):
    cells = [{"cell_type": "code", "source": cell} for cell in cells]
    return json.dumps({"cells": [{"cell_type": "markdown", "source": "text"}, *cells]}).encode()


def test_a_notebook_is_its_code():
    text, remarks = as_python(
        "a.ipynb",
        notebook("%time x\nx = 1\n", ["def f():\n", "    !ls\n", "    return 7 % 4"], "%%bash\nrm x", "x?\n?x"),
    )
    scope = {}
    exec(text, scope)
    assert scope["f"]() == 3 and scope["x"] == 1 and remarks == []
    line = text.split("\n").index("    return 7 % 4") + 1
    assert place("a.ipynb", text, line) == "a.ipynb, cell 3, line 3"
    assert place("a.py", text, line) == f"a.py:{line}"


@pytest.mark.parametrize("line", ["x = 10 % 3  # what?", "print('really?')", "s = '%s' % 3", "y = 'a' if x else '?'"])
def test_python_stays_python(line):
    assert line in as_python("a.ipynb", notebook(f"x = 1\n{line}"))[0]


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b'{"cells": [1]}', b'{"cells": [{"cell_type": "code", "source": 1}]}', b"\xff", b"[" * 10**5],
)
def test_no_notebook(data):
    with pytest.raises(ValueError, match="no notebook"):
        as_python("a.ipynb", data)


@pytest.mark.parametrize(
    "data, said",
    [
        ("x = 'ü'\n".encode(), 0),
        ("\ufeffx = 'ü'\r\n".encode(), 0),
        ("# coding: latin-1\nx = 'ü'\n".encode("latin-1"), 0),
        ("x = 'ü'\n".encode("latin-1"), 1),
        ("# coding: nonsense\nx = 'ü'\n".encode("latin-1"), 1),
        ("x = 'ü'\n".encode("utf-16"), 1),
    ],
)
def test_encodings(data, said):
    text, remarks = as_python("a.py", data)
    scope = {}
    exec(compile(text.encode(), "a.py", "exec"), scope)
    assert scope["x"] == "ü" and len(remarks) == said


FILE = """\
import math
SCALE = math.sqrt(2)
def f(x):
    return x

@property
def g(x):
    return 1
class C:
    y = 1
y = f(1)
print(y); z = 2
for i in range(3):
    f(i)
NAMES: list = [1,
               2]
a, b = 1, 2
assert False
"""


def test_definitions_keep_their_lines():
    kept = definitions(FILE).split("\n")
    lines = FILE.split("\n")
    assert len(kept) == len(lines)
    changed = [new for new, old in zip(kept, lines, strict=True) if new not in ("", old)]
    assert changed == ["z = 2"], "a line is there or empty"
    names = [getattr(node, "name", type(node).__name__) for node in ast.parse("\n".join(kept)).body]
    assert names == ["Import", "Assign", "f", "g", "C", "Assign", "AnnAssign"]


def test_a_broken_file_has_no_definitions():
    with pytest.raises(SyntaxError):
        definitions("def f(:")
