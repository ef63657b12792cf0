"""The texts that a command works on: from its arguments, from a file, or from standard input."""

import contextlib
import itertools
import sys
from pathlib import Path

from bertnp.cli.arguments import add_table_arguments, number, table_options
from bertnp.data.tables import decode_line, read_table

CHUNK = 1024  # lines of standard input that are read before their results are written


def add_text_arguments(parser, pairs=True):
    """TEXT ..., --file and how to read it, --format and --batch-size."""
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="texts; a single - reads one from each line of stdin")
    parser.add_argument("--file", metavar="FILE", help="texts from TSV, CSV or JSON lines; or, of a .txt file without "
                        "--text, one from each line")  # fmt: skip
    add_table_arguments(parser, labelled=False, pairs=pairs)
    add_output_arguments(parser)


def add_output_arguments(parser):
    parser.add_argument("--format", choices=("text", "jsonl"), default="text", help="of the output (default: text)")
    parser.add_argument("--batch-size", type=number(int, 1), default=32, metavar="N", help="default: 32")


def read_texts(args, second=None):
    """(texts, pairs or None), one after the other: all at once, but standard input in pieces, as it comes.

    args: what `add_text_arguments` added   second: the pairs of texts that are arguments

    What can't be read is told at once, before a model is loaded.
    """
    if bool(args.texts) == bool(args.file):
        raise ValueError("give either texts, or - for standard input, or --file (see --help)")
    check_texts([*args.texts, *(second or ())])
    chunks = _chunks(args, second)
    first = next(chunks, None)
    if first is None:
        raise ValueError(f"{args.file or 'standard input'}: it is empty; there is nothing to read")
    return itertools.chain([first], chunks)


def check_texts(texts):
    """ValueError for an argument that is blank or that the terminal handed over in another encoding."""
    for text in texts:
        if not text.strip():
            raise ValueError("a text is blank; there is nothing to read")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError(f"a text is not UTF-8: {text!a}") from None


def read_table_of(args, **columns):
    """The table in --file, or on standard input where that is -."""
    from_stdin = args.file == "-" or args.texts == ["-"]
    source = "standard input" if from_stdin else args.file
    file = sys.stdin.buffer.read() if from_stdin else args.file
    return read_table(file, labelled=False, source=source, **table_options(args) | columns)


def _chunks(args, second):
    if args.texts and args.texts != ["-"]:
        yield args.texts, second
        return
    from_stdin = args.texts == ["-"] or args.file == "-"
    columns = args.text is not None or getattr(args, "pair", None) is not None
    if not columns and (from_stdin or args.file.lower().endswith(".txt")):
        yield from _lines("standard input" if from_stdin else args.file, from_stdin)
        return
    table = read_table_of(args)
    yield table.texts, table.pairs


def _lines(source, from_stdin):
    """The lines of a file or of standard input, in chunks. ValueError for a blank one among them."""
    with contextlib.nullcontext(sys.stdin.buffer) if from_stdin else open_file(source) as file:
        texts, blank = [], None
        for line_number, line in enumerate(file, 1):
            line = decode_line(line, source, line_number)
            if not line.strip():
                blank = blank or line_number
                continue
            if blank:  # at the end of a file blank lines do no harm
                raise ValueError(f"{source}, line {blank}: a blank line; there is nothing to read")
            texts.append(line)
            if line_number % CHUNK == 0:
                yield texts, None
                texts = []
    if texts:
        yield texts, None


def open_file(name):
    if Path(name).is_dir():
        raise ValueError(f"{name} is a folder; expected a file")
    if not Path(name).exists():
        raise FileNotFoundError(f"there is no file {name}")
    return open(name, "rb")


def one_line_each(*texts):
    """The texts with line breaks and tabs as spaces; those that are None left out."""
    return [" ".join(text.split()) for text in texts if text is not None]


def keeps_every_letter(stream):
    """Whether a stream writes all letters as they are; where not, JSON's own escapes are needed."""
    return (stream.encoding or "").lower().replace("-", "") == "utf8"
