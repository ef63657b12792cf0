"""Plain text as documents of sentences, streamed from files: what pre-training and vocabularies are made from."""

import hashlib
import os
from pathlib import Path

from bertnp.data.prose import HEADING, WIKI_TITLE, documents_of_prose
from bertnp.data.sentences import ENDS, split_sentences

FORMATS = ("lines", "prose")
ENDINGS = ("", ".txt", ".text", ".md", ".markdown")
LOOK = 1 << 16  # bytes of a file that decide about its format


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
        read = {"lines": _documents_of_lines, "prose": documents_of_prose}[format or guess_corpus_format(file)]
        for document in read(_lines(file), file):
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
    lines = [line.strip() for line in head.decode("utf-8-sig", errors="replace").split("\n")]
    if any(HEADING.match(line) or WIKI_TITLE.match(line) for line in lines):
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


def _documents_of_lines(lines, file):
    document = []
    for _, line in lines:
        sentence = line.strip()
        if sentence:
            document.append(sentence)
        elif document:
            yield document
            document = []
    if document:
        yield document
