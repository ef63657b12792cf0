"""Trainings with all combinations of some settings: which there are, their table, their picture."""

import argparse
import copy
import itertools
import json
import statistics

from bertnp.backend.files import write_text
from bertnp.cli.arguments import number, text
from bertnp.models.weight_files import SAFETENSORS_PATTERNS
from bertnp.training.trainer import LOWER_IS_BETTER

SETTINGS = (
    "lr", "batch-size", "epochs", "warmup", "weight-decay", "schedule", "optimizer", "clip", "max-length", "stride",
    "class-weights", "label-smoothing", "layer-decay", "freeze", "augment-copies", "fraction",
)  # fmt: skip
SHORT = {"batch": "batch-size", "copies": "augment-copies"}


class Setting(argparse.Action):
    """NAME=VALUE,... into (attribute, [(value as written, value), ...]), values as the option of that name has them."""

    def __call__(self, parser, namespace, values, option_string=None):
        found = list(getattr(namespace, self.dest) or [])
        for part in [values] if isinstance(values, str) else values:
            name, _, listed = part.partition("=")
            name = SHORT.get(name, name)
            if name not in SETTINGS or not listed:
                raise argparse.ArgumentError(self, f"expected NAME=VALUE,..., NAME one of {', '.join(SETTINGS)} (or "
                                             f"{', '.join(SHORT)}), got {part!r}")  # fmt: skip
            option = parser._option_string_actions[f"--{name}"]
            each = [(written, self.value(option, written)) for written in listed.split(",")]
            for place, (written, value) in enumerate(each):
                if value in [before for _, before in each[:place]]:
                    raise argparse.ArgumentError(self, f"{name}={written} is given twice")
            found.append((option.dest, each))
        names = [name for name, _ in found]
        if len(set(names)) < len(names):
            raise argparse.ArgumentError(self, f"{next(n for n in names if names.count(n) > 1)} is given twice")
        setattr(namespace, self.dest, found)

    def value(self, option, written):
        try:
            value = option.type(written) if option.type else written
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentError(self, f"{option.option_strings[0]}: {error}") from None
        if option.choices is not None and value not in option.choices:
            raise argparse.ArgumentError(self, f"{option.option_strings[0]}: expected one of "
                                         f"{', '.join(option.choices)}, got {written!r}")  # fmt: skip
        return value


class Fractions(Setting):
    """F,F,... as the setting `fraction`."""

    def __call__(self, parser, namespace, values, option_string=None):
        super().__call__(parser, namespace, f"fraction={values}", option_string)


def share(text):
    """An argument that is a share above 0, up to 1."""
    value = number(float, 0, exclusive=True)(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"expected a share above 0, up to 1, got {text!r}")
    return value


def add_sweep_arguments(group):
    group.add_argument("--fraction", type=share, default=1.0, metavar="SHARE",
                       help="train on this share of the examples only (default: 1)")  # fmt: skip
    group.add_argument("--fractions", action=Fractions, dest="sweep", metavar="SHARE,...",
                       help="train on each of these shares: a learning curve over the amount of data")  # fmt: skip
    group.add_argument("--sweep", action=Setting, dest="sweep", nargs="+", metavar="NAME=VALUE,...",
                       help=f"train with each combination of these values (with --seeds: several times) into "
                       f"OUT/NAME=VALUE,...; only the best keeps its model. NAME: {', '.join(SETTINGS)} (batch and "
                       "copies for short)")  # fmt: skip


class Sweep:
    """All combinations of the settings that --sweep and --fractions list, and what came of them.

    runs: for each the arguments of the command line with its settings
    """

    def __init__(self, args):
        self.axes = args.sweep or []
        if self.axes and not (args.eval or args.hold_out):
            raise ValueError("--sweep: with --hold-out 0 there is nothing to compare the trainings by; hold out a "
                             "share, or give an --eval FILE")  # fmt: skip
        self.runs, self.written = [], []
        for chosen in itertools.product(*(values for _, values in self.axes)) if self.axes else ():
            one = copy.copy(args)
            for (name, _), (_, value) in zip(self.axes, chosen, strict=True):
                setattr(one, name, value)
            self.runs.append(one)
            self.written.append([written for written, _ in chosen])
        self.rows = []
        self.measure = None
        self.best = None  # (score, folder) of the best training of all

    def __bool__(self):
        return bool(self.runs)

    def name(self, one):
        """The name of a run's folder: lr=2e-5,batch_size=16"""
        written = self.written[self.runs.index(one)]
        return ",".join(f"{name}={value}" for (name, _), value in zip(self.axes, written, strict=True))

    def check(self, learning):
        """ValueError naming the run whose settings won't do, before the first one is trained."""
        for one in self.runs[1:]:
            try:
                learning.check(one)
            except ValueError as error:
                raise ValueError(f"--sweep {self.name(one)}: {error}") from None

    def add(self, one, records):
        """Note what came of a run."""
        best = [record["best"] for record in records]
        mean, deviation = over_seeds(best)
        settings = records[0]["settings"]
        values = dict(zip((name for name, _ in self.axes), self.written[self.runs.index(one)], strict=True))
        self.measure = settings["best_by"]
        self.rows.append({
            "run": self.name(one), "values": values, "train_texts": settings["train_texts"],
            "seeds": [record["settings"]["seed"] for record in records], "mean": mean, "deviation": deviation,
            "each": best,
        })  # fmt: skip

    def add_failure(self, one, error):
        """Note that a run had to be stopped."""
        values = dict(zip((name for name, _ in self.axes), self.written[self.runs.index(one)], strict=True))
        self.rows.append({"run": self.name(one), "values": values, "failed": str(error), "seeds": [], "mean": {},
                          "deviation": {}, "each": []})  # fmt: skip

    def score(self, scores):
        """What runs are compared by: the larger the better."""
        value = scores.get(self.measure)
        if value is None:
            return -float("inf")
        return -value if self.measure in LOWER_IS_BETTER else value

    def write(self, output):
        """Write the table and the picture of the runs so far, and keep only the best one's model."""
        write_text(output / "sweep.json", json.dumps({"best_by": self.measure, "runs": self.rows}, indent=2) + "\n")
        write_text(output / "sweep.tsv", "".join("\t".join(row) + "\n" for row in self.table()))
        if self.measure is None:
            return
        self.draw(output / "sweep.png")
        folders = [
            (self.score(scores), output / row["run"] / (f"seed-{seed}" if self.runs[0].seeds else ""))
            for row in self.rows
            for seed, scores in zip(row["seeds"], row["each"], strict=True)
        ]
        self.best = max(folders, key=lambda both: both[0])
        for _, folder in folders:
            if folder != self.best[1]:
                for path in [path for pattern in SAFETENSORS_PATTERNS for path in folder.glob(pattern)]:
                    path.unlink()

    def table(self):
        """Rows of cells: a header, and for each run its settings and its scores, mean and standard deviation."""
        names = [name for name, _ in self.axes]
        scores = next((list(row["mean"]) for row in self.rows if row["mean"]), ["loss"])
        several = (self.runs[0].seeds or 1) > 1
        yield [*names, *(cell for name in scores for cell in ([name, f"{name} ±"] if several else [name]))]
        for row in self.rows:
            cells = [row["values"][name] for name in names]
            for name in scores:
                cells.append("failed" if "failed" in row else text(row["mean"].get(name)))
                if several:
                    cells.append(text(row["deviation"].get(name)))
            yield cells

    def draw(self, path):
        """Draw the score against the setting that has the most values; a line for each combination of the others."""
        from bertnp import plotting

        axis = max(range(len(self.axes)), key=lambda i: (self.axes[i][0] == "fraction", len(self.axes[i][1])))
        name = self.axes[axis][0]
        lines = {}
        for row in self.rows:
            if "failed" in row:
                continue
            others = ", ".join(f"{n.replace('_', ' ')} {v}" for n, v in row["values"].items() if n != name)
            x = row["train_texts"] if name == "fraction" else row["values"][name]
            deviation = row["deviation"].get(self.measure)
            lines.setdefault(others, []).append((x, row["mean"].get(self.measure), deviation))
        plotting.sweep("training texts" if name == "fraction" else name.replace("_", " "), self.measure, lines, path)

    def tell(self, output):
        """Print the table, and say where the best model is."""
        rows = list(self.table())
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
        if self.best:
            print(f"best    by {self.measure}: {self.best[1]}; table and picture in {output}")


def over_seeds(best):
    """The means and the standard deviations (n - 1; None for one) of scores, [{name: number}, ...]: two dictionaries.

    A score that is undefined for some seed is left out.
    """
    mean, deviation = {}, {}
    for name in best[0]:
        values = [scores.get(name) for scores in best]
        if name not in ("epoch", "step") and None not in values:
            mean[name] = statistics.fmean(values)
            deviation[name] = statistics.stdev(values) if len(values) > 1 else None
    return mean, deviation
