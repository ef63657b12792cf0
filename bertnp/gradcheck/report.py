"""What a check found, as text, as a dictionary and as a picture."""

import math
import textwrap
from dataclasses import dataclass, field

import numpy as np


class GradientError(AssertionError):
    """A gradient is wrong; the message is the report, and `.report` the Report."""

    def __init__(self, report):
        super().__init__("\n" + report.text)
        self.report = report


@dataclass
class Row:
    """One tensor's line in the table; arrays are kept for the picture, NaN where no coordinate was checked."""

    case: str
    name: str
    shape: tuple
    checked: int = 0
    error: float = 0.0
    allowed: float = 0.0
    verdict: str = "ok"  # "ok", "WRONG", or "zero": yours and the expected one are both nothing but rounding
    worst: tuple = ()  # index of the largest error
    yours: np.ndarray = field(default=None, repr=False)
    expected: np.ndarray = field(default=None, repr=False)

    @property
    def size(self):
        return math.prod(self.shape)

    @property
    def largest(self):
        return float(np.abs(self.yours).max(initial=0.0))

    def at_worst(self):
        """Yours and the expected value where they differ most."""
        return float(self.yours[self.worst]), float(self.expected[self.worst])

    def to_dict(self):
        row = {name: getattr(self, name) for name in ("case", "name", "checked", "verdict")}
        row |= {name: number(getattr(self, name)) for name in ("largest", "error", "allowed")}
        row["shape"] = list(self.shape)
        row["worst"] = None
        if self.checked:
            yours, expected = self.at_worst()
            ratio = yours / expected if expected else math.nan
            row["worst"] = {"index": [int(i) for i in self.worst]}
            row["worst"] |= {"yours": number(yours), "expected": number(expected), "ratio": number(ratio)}
        return row


def number(value):
    """A float for JSON, which knows neither infinity nor NaN."""
    return float(value) if math.isfinite(value) else None


class Report:
    """The result of a check: `ok`, `text`, `rows` of tensors, and where it failed `stage`, `sentence` and `mistake`.

    stage: the first test that failed, None where all passed
    sentence: what is wrong, in words   mistake: the label of the known mistake that was recognised, or None
    notes: what a reader should know although it is no failure
    """

    praise = "the backward is the derivative of the forward."

    def __init__(self, title, setting=""):
        self.title = title
        self.setting = setting
        self.rows = []
        self.notes = []
        self.stage = self.sentence = self.mistake = None

    @property
    def ok(self):
        return self.stage is None

    def fail(self, stage, sentence, mistake=None):
        self.stage, self.sentence, self.mistake = stage, sentence, mistake

    def add(self, other):
        """Take over the rows, notes and the failure of another report."""
        self.rows += other.rows
        self.notes += [note for note in other.notes if note not in self.notes]
        if self.ok and not other.ok:
            self.fail(other.stage, other.sentence, other.mistake)

    def raise_if_failed(self):
        """Raise GradientError, with the report as its message, unless all is well. Returns the report."""
        __tracebackhide__ = True
        if not self.ok:
            raise GradientError(self)
        return self

    def __repr__(self):
        return f"<Report {self.title}: {'ok' if self.ok else 'failed at ' + self.stage}>"

    def __str__(self):
        return self.text

    @property
    def text(self):
        """The table, the worst coordinate of every wrong tensor, and the sentence; fits every code page."""
        lines = [f"{self.title}   {self.setting}".rstrip()]
        if self.rows:
            lines += self._table()
        lines += [f" note: {note}" for note in self.notes]
        if self.ok:
            lines.append(f" => ok: {self.praise}")
        else:
            said = f"{self.stage}: {self.sentence}"
            lines += textwrap.wrap(said, 100, initial_indent=" => ", subsequent_indent=" " * 4)
        return "\n".join(lines)

    def _table(self):
        names = [f"{row.name} ({row.case})" if row.case else row.name for row in self.rows]
        shapes = [str(row.shape).replace(" ", "") for row in self.rows]
        width, shape_width = max(8, *map(len, names)), max(5, *map(len, shapes))
        titles = f" {'gradient':<{width}}  {'shape':<{shape_width}}  {'checked':>9}"
        yield f"{titles}  {'largest':>9}  {'error':>9}  {'allowed':>9}  verdict"
        for row, name, shape in zip(self.rows, names, shapes, strict=True):
            verdict = "ok, zero to rounding" if row.verdict == "zero" else row.verdict
            checked = f"{row.checked}/{row.size}"
            yield (
                f" {name:<{width}}  {shape:<{shape_width}}  {checked:>9}  {row.largest:9.2e}  {row.error:9.2e}"
                f"  {row.allowed:9.2e}  {verdict}"
            )
            if row.verdict == "WRONG" and row.checked:
                yours, expected = row.at_worst()
                ratio = f"  ratio {yours / expected:.6g}" if expected else ""
                place = ", ".join(str(int(i)) for i in row.worst)
                yield f"   worst at [{place}]: yours {yours:+.6g}  expected {expected:+.6g}{ratio}"

    def to_dict(self):
        """The report in plain Python values, ready for JSON."""
        return {
            "title": self.title,
            "setting": self.setting,
            "ok": self.ok,
            "stage": self.stage,
            "sentence": self.sentence,
            "mistake": self.mistake,
            "notes": list(self.notes),
            "rows": [row.to_dict() for row in self.rows],
        }

    def heatmap(self, path, tensors=None):
        """Draw yours, the expected gradient and their difference, one line of pictures for each tensor.

        path: a file that ends in .png, .svg or .pdf; its folder is made   tensors: names; None: up to four, those with
        the largest error for what is allowed first. Returns the path. Raises ValueError where there is nothing to draw.
        """
        from bertnp.gradcheck.heatmap import draw_heatmap

        return draw_heatmap(self, path, tensors)
