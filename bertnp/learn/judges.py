"""What judges of exercises are made of.

formula("layer_norm")   a formula or a block of the library, forward, backward or both, by the gradient checker
subject(…)              a function that the library has no answer for: see bertnp.learn.subjects
properties              a test that yields one Finding after another
sieve(…)                a check that the student wrote, by the mistakes that it rejects
together(…)             several judges for the parts of one exercise
"""

import functools
import textwrap
from dataclasses import dataclass

import numpy as np

from bertnp.gradcheck import check_formula
from bertnp.gradcheck.cases import cases
from bertnp.gradcheck.checking import SAME
from bertnp.gradcheck.formulas import difference
from bertnp.gradcheck.recognition import same_numbers
from bertnp.learn.exercises import Verdict
from bertnp.learn.guarding import Refused

UNWRITTEN = "unwritten"  # the mistake of a function that is a stub yet
NEARLY = 0.9  # what fails is worth no more
WRITES = "It writes into what it was given. Others still read that: make something new, or work on a copy."


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what, and where it is wrong a sentence and the label of the mistake."""

    what: str
    sentence: str = ""
    mistake: str = ""


def holds(what, good, sentence, mistake):
    """The Finding that something holds, or else what is to be said."""
    return Finding(what) if good else Finding(what, sentence, mistake)


def stream(name, seed):
    """Random numbers for a name and a seed, the same with every version of NumPy."""
    return np.random.RandomState([seed % 2**32, len(name), *name.encode()])


def as_tuple(values):
    return tuple(values) if isinstance(values, (tuple, list)) else (values,)


def formula(name):
    """A judge of `name` and `name_backward`, whichever the exercise asks for, each beside the library's other."""

    def judge_forward(functions, seed):
        forward, everything = functions[name], cases(name, seed)
        report = check_formula(name, forward=forward, seed=seed)
        if report.ok and writes(everything, forward, None):
            report.fail("inputs untouched", WRITES)
        return solved(report) if report.ok else of_report(report, share_of_forward(forward, everything))

    def judge_backward(functions, seed):
        backward, everything = functions[f"{name}_backward"], cases(name, seed)
        report = check_formula(name, backward=backward, seed=seed)
        if report.ok and writes(everything, None, backward):
            report.fail("inputs untouched", WRITES)
        return solved(report) if report.ok else of_report(report, share_of_backward(report, everything))

    def judge(functions, seed):
        parts = {name: judge_forward, f"{name}_backward": judge_backward}
        return together(*(part for function, part in parts.items() if function in functions))(functions, seed)

    judge.formulas = (name,)
    return judge


def solved(report):
    return Verdict(True, 1.0, report.text)


def writes(everything, forward, backward):
    """Does a forward write into its arguments, or a backward into what the forward has kept for it?"""
    written = []
    for case in everything:
        outputs = case.forward(copied(case.arguments), noting(forward, written) if forward else None)
        if backward:
            g = 1.7 if np.ndim(outputs[0]) == 0 else stream("writes", 0).randn(*outputs[0].shape)
            case.backward(g, copied(case.arguments), noting(backward, written))
    return bool(written)


def share_of_forward(forward, everything):
    """In which share of the cases the outputs are right."""
    right = 0
    for case in everything:
        expected = case.forward(case.arguments)
        try:
            mine = case.forward(case.arguments, forward)
        except Exception:
            continue
        right += len(mine) == len(expected) and all(map(same_numbers, mine, expected))
    return right / len(everything)


def share_of_backward(report, everything):
    """Which share of the gradients is right, in all cases up to the first that fails."""
    return sum(row.verdict != "WRONG" for row in report.rows) / sum(len(case.wrt) for case in everything)


def of_report(report, score):
    """A failed report of the gradient checker as a verdict."""
    label = report.mistake or report.stage
    return Verdict(False, min(score, NEARLY), report.text, report.sentence, label, report)


def properties(test):
    """The judge that `test` makes: a generator of Findings, called with the student's functions and a RandomState.

    All of them count alike. Those after the first that is wrong are looked at too, so `test` should go on.
    """

    @functools.wraps(test)
    def judge(functions, seed):
        written = []
        with np.errstate(all="ignore"):
            watched = [noting(function, written) for function in functions.values()]
            findings = list(test(*watched, stream(test.__name__, seed)))
        if written:
            findings.append(Finding("what was given is left as it was", WRITES, "writes"))
        return of_findings(" and ".join(functions), findings)

    return judge


def noting(function, written):
    """The same function, which adds to `written` when it changes an array, list, set or dictionary it is given."""

    @functools.wraps(function)
    def noted(*arguments, **options):
        before = copied([arguments, options])
        answer = function(*arguments, **options)
        if not alike([arguments, options], before):
            written.append(True)
        return answer

    return noted


def copied(value):
    """A copy of arrays, and of what holds them."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(copied, value))
    if isinstance(value, dict):
        return {key: copied(part) for key, part in value.items()}
    return value.copy() if isinstance(value, (np.ndarray, set)) else value


def alike(value, before):
    if isinstance(value, (list, tuple)):
        return len(value) == len(before) and all(map(alike, value, before))
    if isinstance(value, dict):
        return value.keys() == before.keys() and all(alike(value[key], before[key]) for key in value)
    if isinstance(value, np.ndarray):
        return value.shape == before.shape and np.array_equal(value, before, equal_nan=value.dtype.kind == "f")
    return value == before if isinstance(value, set) else True


def of_findings(title, findings):
    """A verdict from what was found: its first sentence is that of the first thing that is wrong."""
    wrong = [finding for finding in findings if finding.sentence]
    text = told(title, findings)
    if not wrong:
        return Verdict(True, 1.0, text)
    score = 1.0 - len(wrong) / len(findings)
    return Verdict(False, min(score, NEARLY), text, wrong[0].sentence, wrong[0].mistake)


def told(title, findings):
    """What was looked at, a line each, and the first thing that is wrong."""
    lines = [title, *(f" {'WRONG' if finding.sentence else 'ok':5}  {finding.what}" for finding in findings)]
    first = next((finding.sentence for finding in findings if finding.sentence), None)
    sentence = "ok: everything that was looked at is right." if first is None else first
    return "\n".join([*lines, *textwrap.wrap(sentence, 100, initial_indent=" => ", subsequent_indent="    ")])


def compared(what, mine, right, known=()):
    """The Finding of an answer beside the right one. known: (wrong answer, label, sentence) of common mistakes."""
    if equal(mine, right):
        return Finding(what)
    for wrong, label, sentence in known:
        if equal(mine, wrong):
            return Finding(what, sentence, label)
    return Finding(what, f"{what}: {unlike(mine, right)}.", "wrong values")


def unlike(mine, right):
    """How an answer differs from the right one: of lists and tuples the first part that does, of arrays the worst."""
    if isinstance(right, (list, tuple)) and isinstance(mine, (list, tuple)) and len(mine) == len(right):
        at, pair = next((at, pair) for at, pair in enumerate(zip(mine, right, strict=True)) if not equal(*pair))
        if not isinstance(pair[1], str):  # of words the whole list says more than the one that differs
            return (
                unlike(*pair) if isinstance(right, list) else f"of what is returned, number {at + 1}: {unlike(*pair)}"
            )
    if isinstance(right, np.ndarray) and isinstance(mine, np.ndarray) and mine.dtype.kind in "fiub":
        return difference("it", mine, right.astype(float), SAME) or "other numbers"
    return f"yours is {shown(mine)}, expected {shown(right)}"


def equal(mine, right):
    """Are two answers the same? Arrays and numbers to nine digits, tuples part by part, everything else as it is."""
    if isinstance(right, tuple):
        return isinstance(mine, (tuple, list)) and len(mine) == len(right) and all(map(equal, mine, right))
    if isinstance(right, (np.ndarray, float, np.floating)):
        try:
            mine, right = np.asarray(mine), np.asarray(right, float)
        except ValueError:  # lists of different lengths
            return False
        if mine.dtype.kind not in "fiub":
            return False
        finite = np.isfinite(right)
        if mine.shape != right.shape or (np.isfinite(mine) != finite).any():
            return False
        return same_numbers(mine[finite], right[finite]) and np.array_equal(
            mine[~finite], right[~finite], equal_nan=True
        )
    if isinstance(right, (bool, np.bool_)):
        return isinstance(mine, (bool, np.bool_)) and bool(mine) == bool(right)
    return (isinstance(right, int) and np.ndim(mine) == 0 or type(mine) is type(right)) and bool(mine == right)


def shown(value):
    """A value on one line, cut where it is long."""
    if isinstance(value, np.ndarray) and value.size > 4:
        value = f"an array {value.shape} that begins {np.array2string(value.reshape(-1)[:3], precision=4)}"
        return value.replace("]", " ...]")
    text = " ".join((value if isinstance(value, str) else repr(value)).split())
    return text if len(text) <= 90 else text[:87] + "..."


def sieve(title, accepts, right, wrong):
    """The verdict on a check that the student wrote: which share of the wrong it rejects; 0 if it rejects a right one.

    accepts: of a thing, the student's answer   right: {label: thing}
    wrong: {label: (thing, what the check must do to see it)}
    """
    for label, thing in right.items():
        answer = accepts(thing)
        if not isinstance(answer, (bool, np.bool_)):
            sentence = f"It returns {shown(answer)}, expected True or False."
            return Verdict(False, 0.0, told(title, [Finding(f"accepts: {label}", sentence)]), sentence, "no bool")
        if not answer:
            sentence = f"It rejects what is right: {label}. A check that cries wolf is switched off."
            return Verdict(
                False, 0.0, told(title, [Finding(f"accepts: {label}", sentence)]), sentence, "rejects a right one"
            )
    findings = [Finding(f"accepts what is right: {label}") for label in right]
    caught = 0
    for label, (thing, advice) in wrong.items():
        try:
            passed = bool(accepts(thing))
        except Exception:  # a check that breaks on something wrong has noticed it
            passed = False
        caught += not passed
        sentence = f"It accepts what is wrong: {label}. {advice}" if passed else ""
        findings.append(Finding(f"rejects: {label}", sentence, f"accepts: {label}" if passed else ""))
    verdict = of_findings(f"{title}: {caught} of {len(wrong)} wrong ones rejected", findings)
    return Verdict(verdict.ok, caught / len(wrong), verdict.text, verdict.sentence, verdict.mistake)


def together(*judges):
    """A judge of an exercise of several parts: the mean of their scores, and the first thing that is wrong.

    A part that is not written yet counts nothing, and the others what they are worth.
    """

    def judge(functions, seed):
        verdicts, unwritten = [], []
        for one in judges:
            try:
                verdicts.append(one(functions, seed))
            except Refused as refused:
                if refused.mistake != UNWRITTEN:
                    raise
                unwritten.append(refused)
                verdicts.append(Verdict(False, 0.0, f" => {refused.sentence}", refused.sentence, UNWRITTEN))
        if len(unwritten) == len(judges):
            raise unwritten[0]
        first = next((verdict for verdict in verdicts if not verdict.ok), verdicts[0])
        score = sum(verdict.score for verdict in verdicts) / len(verdicts)
        text = "\n".join(verdict.text for verdict in verdicts)
        return Verdict(first.ok, score, text, first.sentence, first.mistake, first.report)

    judge.formulas = sum((getattr(one, "formulas", ()) for one in judges), ())
    return judge
