"""A student's file as Python that can be run: notebooks, other encodings, and files whose last lines fail."""

import ast
import codecs
import io
import json
import re
import tokenize

MAGIC = re.compile(r"^(\s*)([%!?].*|.*\?)$")
COOKIE = re.compile(r"coding[:=]\s*[-\w.]+")
HEAD = "# cell {}"  # stands above each cell's code


def as_python(name, data):
    """(text, remarks): a file's code. Lines keep their places; a notebook's cells stand below a line with their number.

    Raises ValueError where a notebook can't be read.
    """
    if name.lower().endswith(".ipynb"):
        return from_notebook(data), []
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if data.startswith(mark):
            return lines_of(data.decode(encoding, "replace")), [f"{name} is saved as UTF-16; it was read as that"]
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return without_cookie(lines_of(data.decode(encoding))), []
    except (UnicodeDecodeError, SyntaxError):
        return without_cookie(lines_of(data.decode("latin-1"))), [f"{name} is not in UTF-8; it was read as Latin-1"]


def lines_of(text):
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def without_cookie(text):
    """What the first two lines say of the encoding no longer holds: the text is written anew, as UTF-8."""
    first = text.split("\n", 2)
    return "\n".join([COOKIE.sub("", line) if line.startswith("#") else line for line in first[:2]] + first[2:])


def from_notebook(data):
    """The code cells of a notebook, one below the other; what is IPython's own, and no Python, is left out."""
    try:
        cells = json.loads(data.decode("utf-8"))["cells"]
        parts = []
        for number, cell in enumerate(cells, 1):
            if cell["cell_type"] == "code":
                source = cell["source"]
                parts += [HEAD.format(number), plain("".join(source) if isinstance(source, list) else source)]
        return "\n".join(parts) + "\n"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it is no notebook that can be read ({type(error).__name__})") from None


def plain(cell):
    """A cell without its magic lines; one that begins with %% is not Python at all."""
    lines = lines_of(cell).split("\n")
    if lines[0].lstrip().startswith("%%"):
        return "\n".join(f"# {line}" for line in lines)
    return "\n".join(
        MAGIC.sub(r"\1pass  # \2", line) if MAGIC.match(line) and "#" not in line else line for line in lines
    )


def place(name, text, line):
    """A line of a file as its writer finds it: in a notebook, by the cell. text: from `as_python`"""
    if name.lower().endswith(".ipynb"):
        for back, row in enumerate(reversed(text.split("\n")[:line])):
            if re.fullmatch(HEAD.format(r"\d+"), row):
                return f"{name}, {row.removeprefix('# ')}, line {back}"
    return f"{name}:{line}"


def definitions(text):
    """The text with only its imports, functions, classes and constants; all lines keep their places.

    A constant is an assignment that calls nothing of the file itself. SyntaxError where it is no Python.
    """
    tree = ast.parse(text)
    own = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    lines = text.split("\n")
    kept = [""] * len(lines)
    for node in tree.body:
        if is_definition(node, own):
            for decorator in getattr(node, "decorator_list", ()):
                kept[decorator.lineno - 1 : node.lineno - 1] = lines[decorator.lineno - 1 : node.lineno - 1]
            first, *rest = ast.get_source_segment(text, node).split("\n")
            before = kept[node.lineno - 1]  # another statement of the same line
            kept[node.lineno - 1 : node.end_lineno] = [f"{before}; {first}" if before else first, *rest]
    return "\n".join(kept)


def is_definition(node, own):
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        named = all(isinstance(target, ast.Name) for target in targets)
        return named and not any(isinstance(part, ast.Name) and part.id in own for part in ast.walk(node))
    return isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef)
