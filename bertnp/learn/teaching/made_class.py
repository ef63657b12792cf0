"""A made-up class: all that students hand in, and what it must get. The exercises are those of softmax."""

import io
import json
import zipfile
from dataclasses import dataclass

FUNCTIONS = ("softmax", "softmax_backward")
TIMEOUT, SHORT = 30.0, 2.0  # seconds; one of the class needs them all, and gets the shorter time
FORWARD = """\
import numpy as np


def softmax(x):
    exps = np.exp(x - x.max(axis=-1, keepdims=True))
    return exps / exps.sum(axis=-1, keepdims=True)
"""
BACKWARD = """

def softmax_backward(dy, y):
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))
"""


STUB = """
def softmax(x):
    raise NotImplementedError("5.1: yours to write")


def softmax_backward(dy, y):
    raise NotImplementedError("5.2: yours to write")
"""


@dataclass(frozen=True)
class Made:
    """One of the class.

    files: name -> text or bytes   statuses: of the exercises   shares: of their points   words: that must be said of it
    """

    student: str
    files: dict
    statuses: tuple
    shares: tuple
    words: tuple = ()
    timeout: float = TIMEOUT


def backward(*lines):
    """A right softmax, and a backward with these lines."""
    return FORWARD + "\n\ndef softmax_backward(dy, y):\n" + "".join(f"    {line}\n" for line in lines)


def notebook(*cells):
    kinds = [("markdown" if cell.startswith("#") else "code", cell) for cell in cells]
    cells = [{"cell_type": kind, "metadata": {}, "source": text.splitlines(keepends=True)} for kind, text in kinds]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


RIGHT, WRONG = ("right", "right"), ("right", "wrong")
CLASS = (
    Made("Ada Right", {"ch05.py": FORWARD + BACKWARD}, RIGHT, (1, 1)),
    Made("Ben Diagonal", {"ch05.py": backward("return dy * y * (1 - y)")}, WRONG, (1, 0),
         ("diagonal of the Jacobian",)),
    Made("Bea Diagonal", {"mine.py": backward("diagonal = y * (1 - y)", "return diagonal * dy")}, WRONG, (1, 0),
         ("diagonal of the Jacobian",)),
    Made("Cem Sign", {"ch05.py": backward("return y * ((dy * y).sum(axis=-1, keepdims=True) - dy)")}, WRONG, (1, 0)),
    Made("Dua Shape", {"ch05.py": backward("return y * (dy - (dy * y).sum(axis=-1))")}, WRONG, (1, 0),
         ("could not be broadcast",)),
    Made("Eli Constant", {"ch05.py": backward("return np.zeros_like(y)")}, WRONG, (1, 0)),
    Made("Fay Input", {"ch05.py": backward("return dy")}, WRONG, (1, 0)),
    Made("Gus Torch", {"ch05.py": backward("import torch", "return torch.softmax(torch.tensor(y), -1).numpy()")},
         ("refused", "refused"), (0, 0), ("imports torch",)),
    Made("Hal Library", {"ch05.py": "import bertnp.functional as F\n" + backward("return F.softmax_backward(dy, y)")},
         ("right", "refused"), (1, 0), ("You called softmax_backward of the library",)),
    Made("Ida Source", {"ch05.py": backward(
        "import bertnp.functional.softmax_functions as answers", "text = open(answers.__file__).read()",
        "return y * dy if text else dy")}, ("right", "refused"), (1, 0), ("where the answer stands",)),
    Made("Jan Crash", {"ch05.py": backward("import faulthandler", "faulthandler._sigsegv()")},
         ("right", "stopped"), (1, 0)),
    Made("Kai Endless", {"ch05.py": backward("while True: pass")}, ("right", "stopped"), (1, 0),
         (f"within {SHORT:g} seconds; last seen at ch05.py:",), SHORT),
    Made("Lea Empty", {"ch05.py": ""}, ("nothing", "nothing"), (0, 0)),
    Made("Max Nothing", {}, ("nothing", "nothing"), (0, 0)),
    Made("Mia Renamed", {"work/My solution (final).py": FORWARD, "work/part 2.py": BACKWARD.lstrip()}, RIGHT, (1, 1)),
    Made("Ned Syntax", {"ch05.py": FORWARD + "\n\ndef softmax_backward(dy, y:\n    return dy\n"}, ("wrong", "wrong"),
         (0, 0), ("ch05.py:9",)),
    Made("Ola Encoding", {"ch05.py": f"# größer\n{FORWARD}{BACKWARD}".encode("latin-1")}, RIGHT, (1, 1),
         ("read as Latin-1",)),
    Made("Pia Notebook", {"ch05.ipynb": notebook(
        "# My work", "%matplotlib inline\n" + FORWARD, "!ls\nsoftmax?\n" + BACKWARD, "assert softmax(1) == 2")},
        RIGHT, (1, 1), ("ch05.ipynb, cell 2, line 6",)),
    Made("Quy Exit", {"ch05.py": FORWARD + BACKWARD + "\n\nimport os\nos._exit(0)\n"}, RIGHT, (1, 1),
         ("an exit code is no result",)),
    Made("Ray Exit", {"ch05.py": backward("import os", "print('passed')", "os._exit(0)")}, ("right", "stopped"), (1, 0),
         ("an exit code is no result",)),
    Made("Sia Patch", {"ch05.py": FORWARD + BACKWARD + "\nnp.abs = lambda x: 0 * np.asarray(x)\n"},
         ("refused", "refused"), (0, 0), ("numpy.abs",)),
    Made("Tom Patch", {"ch05.py": backward(
        "import bertnp.gradcheck.checking as checking", "checking.RTOL = {'central': 1e9, 'complex': 1e9}",
        "return dy")},
        ("right", "refused"), (1, 0), ("bertnp.gradcheck.checking.RTOL",)),
    Made("Una Forged", {"ch05.py": backward(
        "import os", "for pipe in range(3, 20):", "    try:",
        "        os.write(pipe, b'{\"event\": \"verdict\", \"exercise\": \"5.2\", \"ok\": true, \"score\": 1}\\n')",
        "    except OSError:", "        pass", "print('x' * 3_000_000)", "return dy")}, WRONG, (1, 0)),
    Made("Uwe Forged", {"ch05.py": backward(
        "import json, sys", "from bertnp.learn.teaching import untouched, worker",
        "right = {'event': 'verdict', 'exercise': '5.2', 'ok': True, 'score': 1.0}",
        "json.dumps = repr = lambda *_, **__: right", "untouched.Untouched.changes = lambda self: []",
        "worker.Worker.judge = lambda *_: right", "return dy")}, ("right", "refused"), (1, 0), ("json.dumps",)),
    Made("Vic Stub", {"a.py": STUB, "b.py": FORWARD}, ("right", "nothing"), (1, 0)),
    # the library's code under another name is not known again: the teacher is told to look
    Made("Wim Code", {"ch05.py": "import types\nimport bertnp.functional as F\n" + backward(
        "book = F.softmax_backward.textbook", "code = book.__code__.replace(co_name='mine')",
        "return types.FunctionType(code, book.__globals__)(dy, y)")}, RIGHT, (1, 1),
        ("__code__, __globals__, textbook, which no exercise needs",)),
)  # fmt: skip


def as_zip():
    """What they have handed in as Moodle packs it; who has nothing has an empty folder."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for number, made in enumerate(CLASS, 1001):
            folder = f"{made.student}_{number}_assignsubmission_file_/"
            archive.writestr(folder, "")
            for name, content in made.files.items():
                archive.writestr(folder + name, content)
    return data.getvalue()
