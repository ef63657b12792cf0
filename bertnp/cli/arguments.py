"""What the commands' arguments have in common."""

import argparse
import sys
from pathlib import Path


class Parser(argparse.ArgumentParser):
    """Help with examples as they are written; a wrong argument raises ValueError with one line."""

    def __init__(self, **options):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def error(self, message):
        raise ValueError(f"{message} (see {self.prog} --help)")


def number(kind, least, below=None, exclusive=False):
    """An argument that is a number: `kind` int or float, at least (if exclusive: above) `least`, and below `below`."""
    what = "a whole number" if kind is int else "a number"
    bounds = f"{'above' if exclusive else 'of at least'} {least}" + (f" and below {below}" if below else "")

    def convert(text):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not (value > least if exclusive else value >= least) or not value < (below or float("inf")):
            raise argparse.ArgumentTypeError(f"expected {what} {bounds}, got {text!r}")
        return value

    return convert


def delimiter(text):
    text = {"tab": "\t", "\\t": "\t"}.get(text, text)
    if len(text) != 1:
        raise argparse.ArgumentTypeError(f"expected one character or 'tab', got {text!r}")
    return text


def add_table_arguments(parser, labelled=True, pairs=True):
    """--text, --pair, --label and how to read the file."""
    group = parser.add_argument_group("the file's columns, by name or by number from 1")
    group.add_argument("--text", metavar="COL", help="the sentences (default: a usual name, such as text or sentence)")
    if pairs:
        group.add_argument("--pair", metavar="COL", help="second sentences, where the texts are pairs")
    if labelled:
        group.add_argument("--label", metavar="COL", help="the labels (default: a usual name, such as label or score)")
    group.add_argument("--file-format", choices=("tsv", "csv", "jsonl"), help="default: by its ending, or its look")
    group.add_argument("--delimiter", type=delimiter, metavar="CHAR", help="between columns: a character, or 'tab'")
    group.add_argument("--header", action=argparse.BooleanOptionalAction,
                       help="whether the first line names the columns (default: found out)")  # fmt: skip
    group.add_argument("--quotes", action=argparse.BooleanOptionalAction,
                       help='whether "..." may enclose a cell (default: in CSV yes, in TSV no)')  # fmt: skip


def table_options(args):
    """The arguments of `add_table_arguments` as `read_table` takes them."""
    names = ("text", "pair", "label", "delimiter", "header", "quotes")
    return {"format": args.file_format} | {name: getattr(args, name) for name in names if hasattr(args, name)}


def add_device_arguments(parser):
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where to compute (default: cpu)")
    parser.add_argument("--precision", default="float32", choices=("float32", "float64"), help="default: float32")


def add_model_argument(parser):
    parser.add_argument("--model", required=True, metavar="DIR", help="the folder of a model, or a name")
    parser.add_argument("--max-length", type=number(int, 2), metavar="N",
                        help="cut texts to so many tokens (default: what the model allows)")  # fmt: skip


def load_classifier(args):
    """The fine-tuned model that --model, --device, --precision, --max-length and --batch-size ask for."""
    from bertnp.pipelines import TextClassifier

    return TextClassifier.from_pretrained(
        args.model, max_length=args.max_length, batch_size=args.batch_size, device=args.device, dtype=args.precision
    )


def note(what):
    """Something worth knowing, beside the results."""
    print(f"bertnp: {what}", file=sys.stderr)


def text(value):
    """A score with four digits; None where it is not defined."""
    return "undefined" if value is None else f"{value:.4f}"


def note_cut(examples, max_length, what):
    """Say how many texts are so long that they may have been cut."""
    full = int((examples.lengths >= max_length).sum())
    if full:
        share = f"{full:,} of {len(examples):,} {what}"
        note(f"{share} fill all {max_length} tokens; what is longer was cut (see --max-length)")


def make_writable(folder):
    """Make a folder if it isn't there, and make sure that files can be written in it. Returns whether it was made."""
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / ".bertnp-probe"
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise OSError(f"{folder}: files can't be written there ({error.strerror})") from None
    return made


def writable_file(text):
    """An argument that is the name of a file that can be written: no folder, and its own folder is there."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a folder; expected the name of a file")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path}: there is no folder {path.parent}")
    return path
