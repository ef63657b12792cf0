"""Label texts from the command line, a file or standard input, with probabilities, in the order they come.

Output is one line a text: label, probability and text with tabs between them (a number and the text, where the model
predicts numbers), or a JSON object with every label's probability.
"""

import contextlib
import itertools
import json
import sys
from pathlib import Path

from bertnp.cli.arguments import (
    add_device_arguments,
    add_model_argument,
    add_table_arguments,
    load_classifier,
    number,
    table_options,
)
from bertnp.data.tables import decode_line, read_table

EXAMPLES = """\
examples:
  bertnp predict "I love you." "I hate you." --model my-model
  bertnp predict --file reviews.csv --text review --model my-model --format jsonl
  bertnp predict "Is it raining?" --second "Take an umbrella." --model my-pair-model
  cat sentences.txt | bertnp predict - --model my-model
"""
CHUNK = 1024  # lines of standard input that are read before their labels are written


def add_arguments(parser):
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="texts; a single - reads one from each line of stdin")
    add_model_argument(parser)
    parser.add_argument("--second", action="append", metavar="TEXT",
                        help="the second sentence of a pair; as often as there are TEXTs")  # fmt: skip
    parser.add_argument("--file", metavar="FILE", help="texts from TSV, CSV or JSON lines; or, of a .txt file without "
                        "--text, one from each line")  # fmt: skip
    add_table_arguments(parser, labelled=False)
    parser.add_argument("--format", choices=("text", "jsonl"), default="text", help="of the output (default: text)")
    parser.add_argument("--batch-size", type=number(int, 1), default=32, metavar="N", help="default: 32")
    add_device_arguments(parser)


def run(args):
    sources = bool(args.texts) + bool(args.file)
    if sources != 1:
        raise ValueError("give either texts, or - for standard input, or --file (see bertnp predict --help)")
    if args.second and len(args.second) != len(args.texts):
        raise ValueError(f"--second: expected one for each of {len(args.texts)} texts, got {len(args.second)}")
    for what in (*args.texts, *(args.second or ())):
        check_text(what)
    chunks = read_chunks(args)
    first = next(chunks, None)  # so that a file that can't be read is told before the model is loaded
    if first is None:
        raise ValueError(f"{args.file or 'standard input'}: it is empty; there is nothing to label")
    classifier = load_classifier(args)
    write = write_json if args.format == "jsonl" else write_text
    for texts, pairs in itertools.chain([first], chunks):
        for row, result in enumerate(classifier(texts, pairs)):
            write(texts[row], pairs and pairs[row], result, classifier.kind)
        sys.stdout.flush()


def check_text(what):
    """ValueError for an argument that is blank or that the terminal handed over in another encoding."""
    if not what.strip():
        raise ValueError("a text is blank; there is nothing to label")
    try:
        what.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"a text is not UTF-8: {what!a}") from None


def read_chunks(args):
    """(texts, pairs or None), one after the other: all at once, but standard input in pieces, as it comes."""
    if args.texts and args.texts != ["-"]:
        yield args.texts, args.second
        return
    from_stdin = args.texts == ["-"] or args.file == "-"
    source = "standard input" if from_stdin else args.file
    if args.text is None and args.pair is None and (from_stdin or args.file.lower().endswith(".txt")):
        yield from read_lines(source, from_stdin)
        return
    table = read_table(sys.stdin.buffer.read() if from_stdin else args.file, labelled=False, source=source,
                       **table_options(args))  # fmt: skip
    yield table.texts, table.pairs


def read_lines(source, from_stdin):
    """The lines of a file or of standard input, in chunks. ValueError for a blank one, or if there are none."""
    with contextlib.nullcontext(sys.stdin.buffer) if from_stdin else open_file(source) as file:
        texts, blank = [], None
        for number, line in enumerate(file, 1):
            line = decode_line(line, source, number)
            if not line.strip():
                blank = blank or number
                continue
            if blank:  # at the end of a file blank lines do no harm
                raise ValueError(f"{source}, line {blank}: a blank line; there is nothing to label")
            texts.append(line)
            if number % CHUNK == 0:
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


def write_text(text, pair, result, kind):
    """label TAB probability TAB text, or number TAB text; line breaks and tabs in texts become spaces."""
    shown = [" ".join(part.split()) for part in (text, pair) if part is not None]
    if kind == "regression":
        found = [f"{result['score']:.4f}"]
    elif kind == "multi_label_classification" and len(result["scores"]) > 1:
        found = [" ".join(f"{label}={score:.4f}" for label, score in result["scores"].items())]
    else:
        found = [result["label"], f"{result['score']:.4f}"]
    print("\t".join([*found, *shown]))


def write_json(text, pair, result, kind):
    """{"text", "pair", "label", "probability", "probabilities"} or {"text", "pair", "value"} on one line."""
    record = {"text": text} if pair is None else {"text": text, "pair": pair}
    if kind == "regression":
        record["value"] = result["score"]
    else:
        record |= {"label": result["label"], "probability": result["score"], "probabilities": result["scores"]}
    # Where not every letter can be written as it is, JSON's own escapes are.
    plain = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(record, ensure_ascii=not plain))
