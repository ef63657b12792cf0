"""What the commands' arguments have in common."""

import argparse
import shutil
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


PRECISIONS = {  # what may be asked for -> what it is called
    "float32": "float32", "fp32": "float32", "tf32": "tf32", "bf16": "bfloat16", "bfloat16": "bfloat16",
    "float64": "float64", "fp64": "float64",
}  # fmt: skip


def device(text):
    """An argument that names a device, which must be there: found out before anything else is done."""
    from bertnp.backend import get_backend

    if text not in ("cpu", "cuda"):
        raise argparse.ArgumentTypeError(f"expected cpu or cuda, got {text!r}")
    try:
        get_backend(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def precision(text):
    if text not in PRECISIONS:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(PRECISIONS)}; got {text!r}")
    return PRECISIONS[text]


def add_device_arguments(parser):
    parser.add_argument("--device", default="cpu", type=device, metavar="{cpu,cuda}",
                        help="where to compute (default: cpu)")  # fmt: skip
    parser.add_argument("--precision", default="float32", type=precision, metavar="{fp32,tf32,bf16,fp64}",
                        help="of the numbers computed with; on a GPU, tf32 rounds what goes into matrix products, "
                        "bf16 activations; weights stay float32, and both are faster (default: fp32)")  # fmt: skip


def float_type_for(args):
    """The type of a model that --precision and --device ask for; matrix products are set to TF32, or not."""
    from bertnp.backend import get_backend

    if args.precision in ("tf32", "bfloat16") and args.device != "cuda":
        raise ValueError(f"--precision {args.precision} needs --device cuda")
    if args.device == "cuda":
        get_backend("cuda").device.tf32 = args.precision == "tf32"
    return "float32" if args.precision == "tf32" else args.precision


def add_model_argument(parser):
    parser.add_argument("--model", required=True, metavar="DIR", help="the folder of a model, or a name")
    parser.add_argument("--max-length", type=number(int, 2), metavar="N",
                        help="cut texts to so many tokens (default: what the model allows)")  # fmt: skip


def load_classifier(args):
    """The fine-tuned model that --model, --device, --precision, --max-length, --stride and --batch-size ask for."""
    from bertnp.pipelines import TextClassifier

    return TextClassifier.from_pretrained(
        args.model, max_length=args.max_length, batch_size=args.batch_size, stride=getattr(args, "stride", None),
        device=args.device, dtype=float_type_for(args),
    )  # fmt: skip


def note(what):
    """Something worth knowing, beside the results."""
    print(f"bertnp: {what}", file=sys.stderr)


def program():
    """What to type for `bertnp`, as far as can be told from how this was called."""
    name = Path(sys.argv[0]).stem
    if name == "__main__":
        return "python -m bertnp"
    return sys.argv[0] if name == "bertnp" and shutil.which("bertnp") is None else "bertnp"


def text(value):
    """A score with four digits; None where it is not defined."""
    return "undefined" if value is None else f"{value:.4f}"


def note_cut(examples, max_length, what):
    """Say how many texts are so long that they may have been cut."""
    from bertnp.pipelines.checks import cut_texts

    found = cut_texts(examples, max_length, what)
    if found:
        note(f"{found} (see --max-length)")


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
