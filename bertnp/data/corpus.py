"""Plain text as documents of sentences, streamed from files: what pre-training and vocabularies are made from."""

import hashlib
import os
import re
from html import unescape
from pathlib import Path

from bertnp.data.sentences import ENDS, split_sentences

FORMATS = ("lines", "prose")
ENDINGS = ("", ".txt", ".text", ".md", ".markdown")
LOOK = 1 << 16  # bytes of a file that decide about its format
SENTENCES_WITHOUT_HEADING = 100  # in a document of running text that no heading divides
SENTENCES_UNDER_HEADING = 5000
LONG_PARAGRAPH = 10_000  # characters after which its sentences are handed out though it goes on

HEADING = re.compile(r" {0,3}#{1,6}(\s|$)")
WIKI_HEADING = re.compile(r"\s*=(?P<deeper>(?: ?=)*)\s*[^\s=](?:.*\S)?\s*=(?P=deeper)\s*$")
CHAPTER = re.compile(
    r"(chapter|part|book|volume|stave|act|scene|letter) ([ivxlcdm]+|\d+|the \w+|one|two|three|four|five|six|seven|"
    r"eight|nine|ten|eleven|twelve)\b",
    re.IGNORECASE,
)
LONGEST_TITLE = 80
UNDERLINE = re.compile(r" {0,3}(=+|--+)\s*$")
RULE = re.compile(r"\s*([-*_~=])(\s*\1){2,}\s*$")
FENCE = re.compile(r"\s*(```|~~~)[\w+-]*\s*$")
TABLE_ROW = re.compile(r"\s*\|.*\|\s*$")
LINK_TARGET = re.compile(r" {0,3}\[[^\]]+\]:\s*\S+")
QUOTE_MARK = re.compile(r"\s*(> ?)+")
BULLET = re.compile(r"\s*[-*+•]\s+(?=\S)")
LIST_NUMBER = re.compile(r"\s*\d{1,3}[.)]\s+(?=\S)")

TAGS = (
    "a|abbr|b|big|blockquote|br|center|cite|code|dd|div|dl|dt|em|h[1-6]|hr|i|img|li|ol|p|pre|q|s|small|span|strike|strong|"
    "sub|sup|table|tbody|td|th|thead|tr|tt|u|ul"
)
TARGET = r"\((?:[^()\s]|\([^()\s]*\))*(?:\s[^()]*)?\)"  # of a link: (address "title"), the address with (...) perhaps
INLINE_MARKS = (  # (needs this character, what, becomes)
    ("!", re.compile(rf"!\[[^\[\]]*\]{TARGET}"), " "),  # an image
    ("[", re.compile(rf"\[([^\[\]]+)\](?:{TARGET}|\[[^\[\]]*\])"), r"\1"),  # a link
    ("[", re.compile(r"\[\^[^\[\]\s]+\]"), ""),  # a footnote's number
    ("<", re.compile(r"<(https?://[^<>\s]+)>"), r"\1"),
    ("<", re.compile(rf"</?(?:{TAGS})(?:\s[^<>]*)?/?>", re.IGNORECASE), " "),
    ("`", re.compile(r"(?<!`)(`+)(?!`)([^`]+)\1(?!`)"), r"\2"),
    ("*", re.compile(r"(?<![\s\\*])\*+|(?<![\\*])\*+(?=[^\s*])"), ""),  # emphasis: on one side at least not a space
    ("_", re.compile(r"(?<![\w\\])_+(?=[^\s_])|(?<=[^\s\\_])_+(?!\w)"), ""),  # not inside a word: snake_case
    ("~", re.compile(r"~~"), ""),
    ("\\", re.compile(r"\\(?:([!-/:-@\[-`{-~])|(?=\s|$))"), r"\1"),
    ("&", re.compile(r"&#?\w+;"), lambda match: unescape(match.group())),
    ("@", re.compile(r" @([-,.])@ "), r"\1"),  # WikiText's way of writing north-east and 1.5
)
SPACES = re.compile(r"\s\s+|[^\S ]")


def corpus_files(paths):
    """The text files of a corpus in a fixed order: files as they are given; of folders, all that is inside.

    paths: a path, or several. From a folder come the files ending in .txt, .text, .md, .markdown or in nothing, folders
    in it included and hidden ones not, sorted by their names relative to it, with "/" on every machine.
    FileNotFoundError for a path that isn't there, ValueError for a folder without text files.
    """
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    if not given:
        raise ValueError("corpus: expected one file or folder at least, got none")
    files = []
    for path in map(Path, given):
        if path.is_dir():
            inside = sorted(_text_files(path), key=lambda file: file.relative_to(path).as_posix())
            if not inside:
                raise ValueError(f"{path}: there are no text files in this folder (.txt, .text, .md, .markdown)")
            files += inside
        elif path.exists():
            files.append(path)
        else:
            raise FileNotFoundError(f"there is no file or folder {path}")
    return files


def _text_files(folder):
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(where, name)
            if not name.startswith(".") and path.suffix.lower() in ENDINGS and path.is_file():
                yield path


def read_documents(paths, format=None):
    """Stream the documents of a corpus, each a list of sentences, in the order of `corpus_files`.

    format:
      "lines": one sentence a line, a blank line between documents, as Devlin et al.'s create_pretraining_data.py reads
        it. Unlike there, the end of a file ends its last document.
      "prose": running text, plain or in Markdown; lines are joined to paragraphs and split by `split_sentences`.
        A document begins at a heading (# in Markdown, = Title = in wiki text, a line such as CHAPTER IV by itself);
        headings, rules, tables and comments are left out, as are Markdown's marks. Text without headings is cut into
        documents of about 100 sentences, at the end of a paragraph.
      None: for each file by its look, see `guess_corpus_format`
    Never more than a document and a line is in memory. ValueError, when the place is reached, for what is not UTF-8
    text, and at the end for a corpus without a sentence.
    """
    if format not in (*FORMATS, None):
        raise ValueError(f"format: expected {' or '.join(map(repr, FORMATS))} or None, got {format!r}")
    return _documents(corpus_files(paths), format)


def _documents(files, format):
    found = False
    for file in files:
        by_format = {"lines": _documents_of_lines, "prose": _documents_of_prose}
        for document in by_format[format or guess_corpus_format(file)](file):
            found = True
            yield document
    if not found:
        where = files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
        raise ValueError(f"{where}: there is no sentence in this corpus")


def guess_corpus_format(file):
    """Whether a file looks like "lines" or like "prose", judged by its first 64 kB.

    It is prose if its name ends in .md or .markdown, if it has a heading, or if most lines stand by themselves between
    blank lines. Otherwise the question is where sentences end: "lines" if at most half as many end within lines as
    at the ends of lines.
    """
    with open(file, "rb") as stream:
        head = stream.read(LOOK)
    if Path(file).suffix.lower() in (".md", ".markdown"):
        return "prose"
    lines = head.decode("utf-8-sig", errors="replace").split("\n")
    if len(head) == LOOK and len(lines) > 1:
        lines.pop()  # cut short
    lines = [line.strip() for line in lines]
    if any(HEADING.match(line) or WIKI_HEADING.match(line) for line in lines):
        return "prose"
    before, after = ["", *lines], [*lines[1:], ""]
    alone = sum(bool(line) and not a and not b for a, line, b in zip(before, lines, after, strict=False))
    at_line_ends = within_lines = 0
    for line in filter(None, lines):
        within_lines += len(split_sentences(line)) - 1
        at_line_ends += ENDS.search(line[-4:]) is not None
    count = sum(map(bool, lines))
    return "prose" if 2 * alone > count > 1 or 2 * within_lines > at_line_ends else "lines"


def corpus_hash(paths):
    """What a corpus was, for manifests: {"sha256": of all, "files": [{"name", "bytes", "sha256"}, ...]}.

    The first is the SHA-256 of the files' own, as hexadecimal lines in order, so it doesn't depend on names.
    """
    entries, overall = [], hashlib.sha256()
    for file in corpus_files(paths):
        with open(file, "rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            size = stream.tell()
        overall.update(f"{digest}\n".encode())
        entries.append({"name": file.name, "bytes": size, "sha256": digest})
    return {"sha256": overall.hexdigest(), "files": entries}


def _lines(file):
    """(number from 1, text) of each line; only \\n ends a line. ValueError, naming the line, where it isn't UTF-8."""
    with open(file, "rb") as stream:
        if b"\0" in stream.read(LOOK):  # a binary file may have no line ends at all
            raise ValueError(f"{file} is no text file: it holds NUL bytes (expected text in UTF-8)")
        stream.seek(0)
        for number, line in enumerate(stream, 1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")  # the byte order mark
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                byte = line[error.start]
                raise ValueError(f"{file}, line {number}: byte {byte:#04x} is not UTF-8 text") from None
            if "\0" in text:
                raise ValueError(f"{file}, line {number}: a NUL byte (expected text in UTF-8)")
            yield number, text


def _documents_of_lines(file):
    document = []
    for _, line in _lines(file):
        sentence = line.strip()
        if sentence:
            document.append(sentence)
        elif document:
            yield document
            document = []
    if document:
        yield document


def _documents_of_prose(file):
    document, limit = [], SENTENCES_WITHOUT_HEADING
    for sentences in _paragraphs(file):
        if sentences is None:
            limit = SENTENCES_UNDER_HEADING
        if document and (sentences is None or len(document) >= limit):
            yield document
            document = []
        document += sentences or ()
    if document:
        yield document


def _paragraphs(file):
    """The sentences of each paragraph, and None where a heading begins a new document."""
    lines = []  # of the paragraph so far
    size = 0
    in_list = False
    for line in _without_comments(file):
        quoted = QUOTE_MARK.match(line)
        line = line[quoted.end() :] if quoted else line
        text = line.strip()
        wiki_heading = WIKI_HEADING.match(line) if "=" in line else None
        underlined = len(lines) == 1 and UNDERLINE.match(line) and _is_title(lines[0])
        is_heading = bool(HEADING.match(line)) or underlined or (wiki_heading and not wiki_heading["deeper"])
        left_out = wiki_heading or RULE.match(line) or FENCE.match(line) or TABLE_ROW.match(line)
        left_out = left_out or (not lines and LINK_TARGET.match(line))
        item = BULLET.match(line) or ((not lines or in_list) and LIST_NUMBER.match(line))
        if not text or is_heading or left_out or item:
            if len(lines) == 1 and CHAPTER.match(lines[0]) and _is_title(lines[0]):
                is_heading = True
            elif lines and not underlined:
                yield _sentences(lines)
            lines, size = [], 0
            if is_heading:
                yield None
            in_list = bool(item)
        if text and not is_heading and not left_out:
            text = line[item.end() :].strip() if item else text
            lines.append(text)
            size += len(text)
            if size > LONG_PARAGRAPH:
                *sentences, last = _sentences(lines) or [""]
                if len(last) > LONG_PARAGRAPH:
                    sentences, last = [*sentences, last], ""
                yield sentences
                lines, size = [last], len(last)
    if lines:
        yield _sentences(lines)


def _without_comments(file):
    """The lines of a file as text, without <!-- comments -->, which may go over several lines."""
    opened = None  # the line where the comment began that we are in
    for number, line in _lines(file):
        if opened is None and "<!--" not in line:
            yield line
            continue
        kept, place = [], 0
        while place < len(line):
            if opened is None:
                begin = line.find("<!--", place)
                begin = len(line) if begin < 0 else begin
                kept.append(line[place:begin])
                if begin < len(line):
                    opened = number
                place = begin + 4
            else:
                end = line.find("-->", place)
                place = len(line) if end < 0 else end + 3
                opened = opened if end < 0 else None
        if "".join(kept).strip():
            yield " ".join(kept)
    if opened is not None:
        raise ValueError(f"{file}, line {opened}: the comment that begins here (<!--) does not end")


def _is_title(line):
    return len(line) <= LONGEST_TITLE and not line.endswith((",", ";"))


def _sentences(lines):
    return split_sentences(plain_text(join_lines(lines)))


def join_lines(lines):
    """One text of lines: with a space between them, but none after a hyphen or between Chinese or Japanese letters."""
    parts = []
    for line in lines:
        if parts:
            last, first = parts[-1][-1:], line[:1]
            hyphen = last == "-" and parts[-1][-2:-1].isalpha()
            if not hyphen and not (_is_wide(last) and _is_wide(first)):
                parts.append(" ")
        parts.append(line)
    return "".join(parts)


def _is_wide(character):
    return "\u2e80" <= character <= "\ua4cf" or "\uf900" <= character <= "\uffef" or character >= "\U00020000"


def plain_text(text):
    """Text without Markdown's marks inside a line: emphasis, code, links, images, tags, escapes, entities."""
    for needs, pattern, becomes in INLINE_MARKS:
        if needs in text:
            text = pattern.sub(becomes, text)
    return SPACES.sub(" ", text).strip()
