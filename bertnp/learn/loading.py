"""Reading a student's file: its functions by name, and where something is wrong, the line and a sentence."""

import ast
import io
import linecache
import secrets
import sys
import tokenize
import traceback
import types
from pathlib import Path

from bertnp.learn.guarding import Refused, Watch, forbidden_imports


class BrokenFile(ValueError):
    """A student's file can't be used. path, line: where (line None: nowhere in particular)   mistake: a label for it"""

    def __init__(self, path, line, sentence, mistake):
        super().__init__(f"{here(path)}{'' if line is None else f':{line}'}: {sentence}")
        self.path, self.line, self.sentence, self.mistake = Path(path), line, sentence, mistake


def load(path):
    """{name: function} of the functions that are written in a file, not of those it imports.

    The file is run, under a name of its own, with what stands beside it importable, and with the guards of
    `bertnp.learn.guarding`. Raises BrokenFile, a ValueError, that names the line.
    """
    path = Path(path)
    name = str(path.resolve())
    tree = parse(path, read(path))
    for line, module in forbidden_imports(tree):
        raise BrokenFile(path, line, f"it imports {module}; an exercise is done with NumPy alone", "foreign library")
    module = types.ModuleType(f"student_{secrets.token_hex(8)}")
    module.__file__ = name
    sys.modules[module.__name__] = module  # some of the standard library looks a function's module up
    beside = str(path.resolve().parent)
    sys.path.insert(0, beside)
    try:
        with Watch(name):
            exec(compile(tree, name, "exec"), module.__dict__)
    except Refused as refused:
        raise BrokenFile(path, line_in(name, refused), refused.sentence, refused.mistake) from None
    except SystemExit as error:
        raise BrokenFile(path, line_in(name, error), "it ends the program (sys.exit)", "exits") from None
    except Exception as error:
        raise BrokenFile(path, line_in(name, error), f"it raises {said(error)}", type(error).__name__) from None
    finally:
        if beside in sys.path:
            sys.path.remove(beside)
    return {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, types.FunctionType) and value.__code__.co_filename == name
    }


def parse(path, text):
    """The syntax tree of a file's text. BrokenFile, with the line, where it is no Python."""
    try:
        tree = ast.parse(text, str(path.resolve()))
        compile(tree, str(path.resolve()), "exec")  # finds a return outside a function, for instance
        return tree
    except (SyntaxError, ValueError) as error:  # ValueError: a null byte
        line = getattr(error, "lineno", None)
        code = f": {error.text.strip()}" if getattr(error, "text", None) else ""
        raise BrokenFile(path, line, f"{getattr(error, 'msg', error)}{code}", "syntax error") from None
    except (RecursionError, MemoryError):
        raise BrokenFile(path, None, "it is nested too deeply to be read", "syntax error") from None


def read(path):
    """The text of a Python file, in the encoding that it declares, UTF-8 if none. BrokenFile where that is wrong."""
    if not path.is_file():
        what = "it is a folder; expected a Python file" if path.is_dir() else "there is no such file"
        raise BrokenFile(path, None, what, "no file")
    content = path.read_bytes()
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise BrokenFile(path, None, "it is saved as UTF-16; save it as UTF-8", "encoding")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        return io.TextIOWrapper(io.BytesIO(content), encoding).read()
    except (UnicodeDecodeError, SyntaxError):  # SyntaxError: an encoding that nobody knows, or UTF-8 that is none
        line = next((n for n, row in enumerate(content.split(b"\n"), 1) if not _is_utf8(row)), None)
        raise BrokenFile(path, line, "this is no UTF-8; save the file as UTF-8", "encoding") from None


def _is_utf8(row):
    try:
        row.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def line_in(name, error):
    """The last line of a file on the way to where an exception was raised, or None."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == name]
    return lines[-1] if lines else None


def shown(path, line):
    """File, line, and what stands there."""
    linecache.checkcache(str(path))
    return f"{here(path)}:{line}: {linecache.getline(str(path), line).strip()}"


def said(error):
    """An exception in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def here(path):
    """A path as one would type it from the current folder."""
    path = Path(path)
    try:
        return path.resolve().relative_to(Path.cwd().resolve()).as_posix()
    except ValueError:
        return str(path)
