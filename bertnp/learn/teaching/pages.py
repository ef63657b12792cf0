"""A page as a list of blocks, written as Markdown or as one HTML file. Whatever students have written is only text."""

import base64
import html
import re
from dataclasses import dataclass

from bertnp.backend.files import atomic_path, write_text

MARKDOWN_SIGNS = re.compile(r"([\\`*_{}\[\]<>#|])")
STYLE = """\
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #111 }
pre { background: #f4f4f4; padding: .7rem; overflow-x: auto; font-size: .8rem; line-height: 1.35 }
table { border-collapse: collapse } td, th { border: 1px solid #bbb; padding: .2rem .6rem; text-align: left }
img { max-width: 100% }"""


@dataclass(frozen=True)
class Title:
    text: str
    level: int = 1


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Points:
    """A list, a line for each."""

    texts: tuple


@dataclass(frozen=True)
class Verbatim:
    text: str


@dataclass(frozen=True)
class Table:
    """rows: the first is the head"""

    rows: tuple


@dataclass(frozen=True)
class Picture:
    """A PNG; beside a page in Markdown it is a file of this name."""

    data: bytes
    name: str
    about: str


def write_page(folder, name, blocks, form):
    """Write a page and its pictures into a folder; form: "md" or "html". Returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.{form}"
    if form == "html":
        write_text(path, as_html(blocks))
        return path
    for block in blocks:
        if isinstance(block, Picture):
            with atomic_path(folder / block.name) as temporary:
                temporary.write_bytes(block.data)
    write_text(path, as_markdown(blocks))
    return path


def as_markdown(blocks):
    return "\n\n".join(map(markdown_of, blocks)) + "\n"


def markdown_of(block):
    match block:
        case Title(text, level):
            return f"{'#' * level} {escaped(text)}"
        case Text(text):
            return escaped(text)
        case Points(texts):
            return "\n".join(f"- {escaped(text)}" for text in texts)
        case Verbatim(text):
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
            return f"{fence}\n{text}\n{fence}"
        case Table((head, *rows)):
            lines = [head, ["---"] * len(head), *rows]
            return "\n".join(f"| {' | '.join(c if c == '---' else escaped(c) for c in line)} |" for line in lines)
        case Picture(_, name, about):
            return f"![{escaped(about)}]({name})"


def escaped(text):
    return MARKDOWN_SIGNS.sub(r"\\\1", " ".join(text.split()))


def as_html(blocks):
    title = html.escape(next(block.text for block in blocks if isinstance(block, Title)))
    body = "\n".join(map(html_of, blocks))
    head = f'<meta charset="utf-8">\n<title>{title}</title>\n<style>\n{STYLE}\n</style>'
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'


def html_of(block):
    match block:
        case Title(text, level):
            return f"<h{level}>{html.escape(text)}</h{level}>"
        case Text(text):
            return f"<p>{html.escape(text)}</p>"
        case Points(texts):
            return f"<ul>{''.join(f'<li>{html.escape(text)}</li>' for text in texts)}</ul>"
        case Verbatim(text):
            return f"<pre>{html.escape(text)}</pre>"
        case Table((head, *rows)):
            lines = [row_of(head, "th"), *(row_of(row, "td") for row in rows)]
            return f"<table>{''.join(lines)}</table>"
        case Picture(data, _, about):
            source = base64.b64encode(data).decode()
            return f'<img alt="{html.escape(about)}" src="data:image/png;base64,{source}">'


def row_of(cells, kind):
    return f"<tr>{''.join(f'<{kind}>{html.escape(cell)}</{kind}>' for cell in cells)}</tr>"
