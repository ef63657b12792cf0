"""Judging functions that the library has no answer for.

Their outputs for some inputs are in expected.npz, made by tests/learn/make_expected.py from answers that only the tests
have; so are the numbers of common wrong answers, by which a mistake is recognised. A backward needs no answer: the
gradient checker compares it with the student's own forward, on new numbers for every seed.
"""

import functools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files

import numpy as np

from bertnp.gradcheck.cases import call_by_name_or_place
from bertnp.gradcheck.checking import COTANGENT_SCALE, SAME, Check
from bertnp.gradcheck.formulas import difference
from bertnp.gradcheck.recognition import same_numbers
from bertnp.learn.exercises import Verdict
from bertnp.learn.judges import (
    WRITES,
    Finding,
    alike,
    as_tuple,
    noting,
    of_findings,
    of_report,
    solved,
    stream,
    together,
)

EXPECTED = "expected.npz"
STORED = 0  # the seed of the inputs whose outputs are stored


@dataclass(frozen=True)
class Subject:
    """A forward, its backward or both, and what they are judged on.

    name: of the forward; the backward is called name_backward
    draws: {label: function of a RandomState that returns the arguments of one call by name}
    takes: names of what the backward takes after dy: arguments and outputs of the forward
    wrt: arguments that the backward gives gradients of, in order; () where there is no backward
    outputs: names of what the forward returns; the first is differentiated
    forward: where it is given to the student, or the library has it; None: its outputs are stored
    rows: {argument: the axis of its examples}, which know nothing of each other; in the outputs that axis is the first
    gradients_on: labels of draws on which the backward is checked; None: the first
    known: {part: {label: sentence}} of mistakes whose numbers are stored, part "forward" or "backward"
    shapes: names of axes, for sentences   rtol: of the gradient check
    also: function of the student's forward and a RandomState, yields more Findings
    call: function of the student's backward, dy, arguments and outputs, for one that is called in its own way
    """

    name: str
    draws: dict = field(repr=False)
    takes: tuple = ()
    wrt: tuple = ()
    outputs: tuple = ("y",)
    forward: Callable = field(default=None, repr=False)
    rows: dict = field(default_factory=dict, repr=False)
    gradients_on: tuple = None
    known: dict = field(default_factory=dict, repr=False)
    shapes: dict = field(default_factory=dict, repr=False)
    rtol: float = None
    also: Callable = field(default=None, repr=False)
    call: Callable = field(default=None, repr=False)

    def arguments(self, label, seed=STORED):
        return self.draws[label](stream(f"{self.name} {label}", seed))

    @property
    def checked(self):
        return self.gradients_on or (next(iter(self.draws)),)

    def right(self, label):
        """The right outputs for the stored inputs."""
        if self.forward is not None:
            return as_tuple(self.forward(**self.arguments(label)))[: len(self.outputs)]
        return tuple(stored()[f"{self.name}/{label}/{output}"] for output in self.outputs)

    def gradients(self, backward, g, arguments, outputs):
        """What a backward returns, by name."""
        known = {**arguments, **dict(zip(self.outputs, outputs, strict=False))}
        if self.call is not None:
            return self.call(backward, g, arguments, outputs)
        own = {name: known[name] for name in self.takes}
        answer = as_tuple(call_by_name_or_place(backward, float(g) if np.ndim(g) == 0 else g, own, own))
        if len(answer) != len(self.wrt):
            wanted = ", ".join(f"d{name}" for name in self.wrt)
            raise ValueError(f"it returned {len(answer)} values, expected {len(self.wrt)}: {wanted}")
        return dict(zip(self.wrt, answer, strict=True))

    def stored_gradients(self, backward, label):
        """What a backward returns for the stored inputs and the cotangent that goes with them, by name."""
        arguments, outputs = self.arguments(label), self.right(label)
        g = stream(f"dy of {self.name} {label}", STORED).randn(*np.shape(outputs[0])) * COTANGENT_SCALE
        return self.gradients(backward, g, arguments, outputs)


@functools.cache
def stored():
    """The stored arrays by their names, "name/draw/output" or "name!mistake/draw/output".

    Of a wrong backward only those gradients are there that are wrong.
    """
    with files("bertnp.learn").joinpath(EXPECTED).open("rb") as file, np.load(file) as arrays:
        values, found = arrays["values"], {}
        for name, shape in json.loads(str(arrays["shapes"])).items():
            size = math.prod(shape)
            found[name], values = values[:size].reshape(shape), values[size:]
    return found


def store(path, arrays):
    """Write what `stored` reads: all values behind each other, and names and shapes as JSON."""
    shapes = {name: np.shape(values) for name, values in arrays.items()}
    values = np.concatenate([np.asarray(values, float).reshape(-1) for values in arrays.values()])
    np.savez_compressed(path, shapes=json.dumps(shapes), values=values)


def subject(name, draws, **details):
    """A judge of `name` and `name_backward`, whichever the exercise asks for; see Subject, which is its `subject`."""
    made = Subject(name, draws if isinstance(draws, dict) else {"ordinary": draws}, **details)

    def judge_forward(functions, seed):
        return of_findings(name, list(forward_findings(made, functions[name], seed)))

    def judge_backward(functions, seed):
        forward, backward = functions.get(name, made.forward), functions[f"{name}_backward"]
        if forward is not made.forward and any(f.sentence for f in forward_findings(made, forward, seed)):
            sentence = f"{name} has to be right before its backward can be judged."
            return Verdict(False, 0.0, f"{name}_backward\n => {sentence}", sentence, "needs its forward")
        report = gradient_report(made, forward, backward, seed)
        tensors = len(made.wrt) * len(made.checked)
        score = sum(row.verdict != "WRONG" for row in report.rows) / tensors
        return solved(report) if report.ok else of_report(report, score)

    def judge(functions, seed):
        parts = {name: judge_forward, f"{name}_backward": judge_backward}
        with np.errstate(all="ignore"):
            return together(*(part for function, part in parts.items() if function in functions))(functions, seed)

    judge.subject = made
    return judge


def forward_findings(made, forward, seed):
    """Whether a forward gives the right outputs, and the same ones when its examples stand in another order."""
    seen, sentences = {}, {}
    for label in made.draws:
        arguments, right = made.arguments(label), made.right(label)
        mine = seen[label] = as_tuple(forward(**arguments))
        sentences[label] = first_difference(made.outputs, mine, right)
        if not sentences[label] and not alike(arguments, made.arguments(label)):
            sentences[label] = WRITES
        if not sentences[label] and made.rows:
            sentences[label] = other_order(made, forward, label, right, seed)
    if made.forward is not None:  # the right answer is at hand: new numbers for every seed
        label = next(iter(made.draws))
        right = as_tuple(made.forward(**made.arguments(label, seed + 1)))
        mine = as_tuple(forward(**made.arguments(label, seed + 1)))
        sentences["other numbers"] = first_difference(made.outputs, mine, right)
    more = made.also(forward, stream(f"more of {made.name}", seed)) if made.also else ()
    known = known_forward(made, seen) if any(sentences.values()) else None
    for label, sentence in sentences.items():
        if sentence and known:
            yield Finding(label, *known)
        else:
            yield finding(label, sentence)
    yield from more


def finding(label, sentence):
    """What was found on one draw."""
    if not sentence or sentence == WRITES:
        return Finding(label, sentence, sentence and "writes")
    return Finding(label, f"{sentence} (case '{label}').", "wrong values")


def other_order(made, forward, label, right, seed):
    """Some of the stored examples, chosen by the seed: a sentence where they don't get the same outputs, else ""."""
    arguments = made.arguments(label)
    chosen = stream(f"rows of {made.name} {label}", seed).randint(0, len(right[0]), 4)
    some = {
        name: np.take(value, chosen, made.rows[name]) if name in made.rows else value
        for name, value in arguments.items()
    }
    sentence = first_difference(made.outputs, as_tuple(forward(**some)), [y[chosen] for y in right])
    return sentence and f"With its examples in another order, {sentence}"


def first_difference(names, mine, right):
    """A sentence about the first output that is not right; "" where all are."""
    if len(mine) != len(names):
        return f"it returns {len(mine)} values, expected {len(names)}: {', '.join(names)}"
    pairs = zip(names, map(np.asarray, mine), map(np.asarray, right), strict=True)
    return next(filter(None, (difference(name, y, expected, SAME) for name, y, expected in pairs)), "")


def known_forward(made, answers):
    """(sentence, label) of the known mistake that gives these outputs, {draw: outputs}, or None."""
    for label, sentence in made.known.get("forward", {}).items():
        theirs = {
            draw: [stored()[f"{made.name}!{label}/{draw}/{output}"] for output in made.outputs] for draw in answers
        }
        if all(
            len(mine) == len(theirs[draw]) and all(map(same_numbers, mine, theirs[draw]))
            for draw, mine in answers.items()
        ):
            return sentence, label
    return None


def gradient_report(made, forward, backward, seed):
    """The gradient checker's report on a backward, with a known mistake called by its name."""

    def f(**arguments):
        return as_tuple(forward(**arguments))

    def b(g, **arguments):
        return made.gradients(backward, g, arguments, f(**arguments))

    total = None
    for label in made.checked:
        report = Check(
            f, b, made.arguments(label, seed + 1), wrt=made.wrt, shapes=made.shapes, rtol=made.rtol, seed=seed,
            title=f"{made.name}_backward", case=label if made.gradients_on else "",
        ).run()  # fmt: skip
        if total is None:
            total = report
        else:
            total.add(report)
        if report.ok and writes(made, forward, backward, label):
            total.fail("inputs untouched", WRITES)
        elif not total.ok:
            known = known_backward(made, backward, {row.name for row in report.rows if row.verdict == "WRONG"})
            if known:
                total.fail(total.stage, *known)
        if not total.ok:
            break
    return total


def writes(made, forward, backward, label):
    """Does the backward write into what the forward has kept for it?"""
    arguments, written = made.arguments(label, STORED), []
    outputs = as_tuple(forward(**arguments))
    made.gradients(noting(backward, written), np.ones(np.shape(outputs[0])), arguments, outputs)
    return bool(written)


def known_backward(made, backward, wrong):
    """(sentence, label) of the known mistakes whose numbers the wrong gradients are, or None."""
    known = made.known.get("backward", {})
    try:
        mine = {label: made.stored_gradients(backward, label) for label in made.checked} if known else {}
    except Exception:
        return None

    def key(mistake, label, name):
        return f"{made.name}_backward!{mistake}/{label}/{name}"

    def shows(mistake, name):
        pairs = [(answer[name], stored().get(key(mistake, label, name))) for label, answer in mine.items()]
        pairs = [pair for pair in pairs if pair[1] is not None]  # on other draws the mistake makes no difference
        return bool(pairs) and all(same_numbers(*pair) for pair in pairs)

    spoiled = {
        mistake: {name for name in made.wrt if key(mistake, made.checked[0], name) in stored()} for mistake in known
    }
    for mistake in sorted(known, key=lambda mistake: spoiled[mistake] != wrong):  # first those wrong in just the same
        if all(shows(mistake, name) for name in wrong or spoiled[mistake]):
            return known[mistake], mistake
    found = [next((mistake for mistake in known if shows(mistake, name)), None) for name in made.wrt if name in wrong]
    if not found or None in found:
        return None
    found = list(dict.fromkeys(found))
    return " Besides: ".join(known[mistake] for mistake in found), ", ".join(found)
