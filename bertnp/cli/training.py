"""What the commands that train have in common: their options, resuming, and what they say while they run."""

import argparse
import hashlib
import json
from pathlib import Path

from bertnp.cli.arguments import note, number
from bertnp.training import Callback
from bertnp.training.trainer import METRICS_FILE

SCHEDULES = ("linear", "constant", "cosine", "google", "polynomial", "inverse_sqrt")
ENDED = ("finished", "early stopping")  # what a record says of a training that has come to its end


def add_training_arguments(group, lr, batch_size, warmup):
    """--batch-size, --lr, the optimiser and its schedule, --seed; the defaults are given."""
    group.add_argument("--batch-size", type=number(int, 1), default=batch_size, metavar="N",
                       help=f"default: {batch_size}")  # fmt: skip
    group.add_argument("--micro-batch-size", type=number(int, 1), metavar="N",
                       help="examples that go through the model together, where a batch needs too much memory; the "
                       "result is the same")  # fmt: skip
    group.add_argument("--lr", type=number(float, 0), default=lr, metavar="RATE", help=f"default: {lr:g}")
    group.add_argument("--optimizer", choices=("adamw", "adam", "google"), default="adamw",
                       help="google: AdamW without bias correction (default: adamw)")  # fmt: skip
    group.add_argument("--weight-decay", type=number(float, 0), default=0.01, metavar="RATE", help="default: 0.01")
    group.add_argument("--schedule", default="linear", choices=SCHEDULES,
                       help=f"of the learning rate: {', '.join(SCHEDULES)} (default: linear)")  # fmt: skip
    group.add_argument("--warmup", type=steps_or_share, default=warmup, metavar="N",
                       help=f"steps of warm-up or, below 1, a share of all steps (default: {warmup:g})")  # fmt: skip
    group.add_argument("--clip", type=number(float, 0), default=1.0, metavar="NORM",
                       help="longest gradient; 0: no clipping (default: 1.0)")  # fmt: skip
    group.add_argument("--seed", type=number(int, 0), default=0, metavar="N", help="default: 0")


def training_options(args):
    """The arguments of `add_training_arguments` (but for the seed) as `Trainer` takes them."""
    names = ("batch_size", "micro_batch_size", "lr", "optimizer", "weight_decay", "schedule", "warmup")
    return {name: getattr(args, name) for name in names} | {"clip": args.clip or None}


def steps_or_share(text):
    """An argument that is a share below 1 or a whole number of steps."""
    value = number(float, 0)(text)
    if value >= 1 and value != int(value):
        raise argparse.ArgumentTypeError(f"expected a share below 1 or a whole number of steps, got {text!r}")
    return value


def add_output_arguments(parser, keep):
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="the folder to write to")
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--overwrite", action="store_true", help="write there though the folder is not empty")
    either.add_argument("--resume", action="store_true",
                        help="go on from the newest checkpoint in OUT, to the same end as if it had never "
                        "stopped; from the beginning where there is none")  # fmt: skip
    parser.add_argument("--keep", type=number(int, 0), default=keep, metavar="N",
                        help=f"how many checkpoints stay; 0: none at the end (default: {keep})")  # fmt: skip


def check_output(folder, overwrite, resumes=False):
    """ValueError where the folder to write to is a file, or has something in it that may not be overwritten."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; expected a folder to write to")
    if not overwrite and folder.is_dir() and any(folder.iterdir()):
        ways = "another folder, --overwrite, or --resume to go on" if resumes else "another folder, or --overwrite"
        raise ValueError(f"{folder} is not empty; give {ways}")


def finished(folder):
    """The record of a training in this folder that has come to its end, or None."""
    path = Path(folder) / METRICS_FILE
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return record if record.get("ended") in ENDED else None


def file_hash(path):
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Notes(Callback):
    """Says from where a training goes on, and that it is going to stop."""

    def resumed(self, trainer, folder, changed):
        note(f"resumed after step {trainer.step:,} of {trainer.total_steps:,}, from {folder}")
        for difference in changed:
            note(f"{difference}, so the last digits may come out otherwise than without the interruption")

    def stopping(self, trainer):
        note("stopping after this step; press Ctrl-C again to stop at once")


def tell_interrupted(trainer):
    """Say what is kept of a training that was stopped, and how to go on."""
    from bertnp.training.checkpoints import checkpoints

    best, saved = trainer.record["best"], checkpoints(trainer.output)
    if trainer.record["ended"] in ENDED:
        print(f"\nstopped after the training had ended: the best model, of epoch {best['epoch']:g}, is in "
              f"{trainer.output}; pictures may be missing")  # fmt: skip
        return
    if best is None and not saved:
        print("\nstopped before anything was saved: nothing is kept")
        return
    kept = [] if best is None else [f"the best model so far, of epoch {best['epoch']:g}, is in {trainer.output}"]
    if saved:
        kept.append(f"the same command with --resume goes on after step {saved[-1][0]:,}")
    print(f"\nstopped; {'; '.join(kept)}")
