"""Every known mistake is planted, rejected and called by its own sentence; correct code never is."""

import inspect
import os

import numpy as np
import pytest

from bertnp.gradcheck import check_formula, mistakes
from bertnp.gradcheck.cases import CASES, cases, has_backward
from bertnp.gradcheck.checking import Check

SEEDS = range(int(os.environ.get("BERTNP_GRADCHECK_SEEDS", "3")))  # 25 takes a minute
PAIRS = [name for name in CASES if has_backward(name)]
BACKWARDS = [mistake for mistake in mistakes() if mistake.part == "backward"]


@pytest.mark.parametrize("name", CASES)
def test_every_mistake_is_named(name):
    known = mistakes(name)
    assert known or name in ("gelu_new", "relu")
    for seed in SEEDS:
        for mistake in known:
            planted = {mistake.part: mistake.plant()}
            report = check_formula(name, seed=seed, max_coords=4, directional=1, **planted)
            assert not report.ok, f"{mistake}, seed {seed}: passed"
            assert report.mistake == mistake.label, f"{mistake}, seed {seed}: taken for {report.mistake}"
            assert mistake.sentence in report.sentence
            assert " ".join(mistake.sentence.split()) in " ".join(report.text.split())


@pytest.mark.parametrize("name", PAIRS)
def test_no_false_alarm(name):
    for seed in SEEDS:
        report = check_formula(name, seed=seed, max_coords=8)
        assert report.ok, report.text
        for row in report.rows:
            assert row.error <= 0.25 * row.allowed or row.error == 0.0, f"{row}: hardly less than allowed"


def test_mistakes_are_rejected_without_knowing_them():
    """The check itself rejects them all; the list of known mistakes only gives them names."""
    for mistake in BACKWARDS:
        verdicts = []
        for case in cases(mistake.formula, seed=7):
            body = mistake.plant()
            report = Check(
                case.slope_forward(), lambda g, case=case, body=body, **inputs: case.backward(g, inputs, body),
                case.arguments, wrt=case.wrt, method="complex" if case.complex_only else "central", h=case.h,
                must=case.must, max_coords=4,
            ).run()  # fmt: skip
            verdicts.append(report.ok)
            assert report.ok or report.sentence and report.mistake is None
        assert not all(verdicts), f"{mistake} passed"


def test_the_list():
    everything = mistakes()
    assert len(everything) > 250 and len(BACKWARDS) > 200
    assert {mistake.formula for mistake in BACKWARDS} == set(PAIRS), "a formula without mistakes"
    for name in CASES:
        of_one = mistakes(name)
        for part in ("backward", "forward"):
            labels = [m.label for m in of_one if m.part == part]
            assert len(set(labels)) == len(labels)
        sentences = [m.sentence for m in of_one]
        assert len(set(sentences)) == len(sentences)
    for mistake in everything:
        mistake.sentence.encode("cp1252")
        assert 20 < len(mistake.sentence) < 240 and mistake.sentence.endswith("."), mistake
        assert "  " not in mistake.sentence


@pytest.mark.parametrize("formula, label, words", [
    ("softmax", "only the diagonal", "diagonal of the Jacobian"),
    ("softmax", "no outer y", "factor y before the bracket"),
    ("softmax", "the rule of log-softmax", "backward of log-softmax"),
    ("softmax", "sum over the wrong axis", "over the last one, the keys"),
    ("softmax", "divided by the batch", "belongs to the loss, once"),
    ("attention", "no scale", "1/sqrt(D) of the scores is missing"),
    ("attention", "scale twice", "applied twice"),
    ("attention", "a transpose missing", "have to be transposed"),
    ("attention", "dQ and dK swapped", "You returned dK as dQ"),
    ("split_heads", "reshape only", "reshape cannot swap axes"),
    ("merge_heads", "reshape only", "then transpose (0, 2, 1, 3)"),
    ("layer_norm", "mean and variance constant", "x moves both"),
    ("layer_norm", "gamma forgotten in dx", "multiply dy by gamma before the two means"),
    ("layer_norm", "dgamma from x", "x_hat, the normalised x"),
    ("layer_norm", "dgamma not summed", "sum over every axis but the last"),
    ("linear", "db averaged over positions", "use sum"),
    ("linear", "dW transposed", "dW is transposed"),
    ("add_positions", "mean over the batch", "Every sequence reads the same table: sum"),
    ("embedding", "assigned", "np.add.at"),
    ("embedding", "mean over repeats", "They add up"),
    ("tied_table", "only the scores' half", "Add the gradient of the lookup"),
    ("dropout", "no rescaling", "division by 1 - p is missing"),
    ("dropout", "a fresh mask", "It needs the forward's"),
    ("gelu", "Phi only", "half of the product rule"),
    ("gelu", "the tanh form's derivative", "derivative of the other GELU"),
    ("cross_entropy", "divided by all rows", "mean over the labelled ones only"),
    ("cross_entropy", "unlabelled rows leak", "Rows without a label get a gradient"),
    ("cross_entropy", "no minus one", "subtract 1"),
    ("cross_entropy", "class 0 not counted", "next-sentence"),
    ("residual", "way straight through dropped", "add dy itself"),
    ("pooler", "to all tokens", "Only the first one, [CLS], was read"),
    ("pooler", "1 - u², of the input", "what came out: 1 - y²"),
])  # fmt: skip
def test_what_the_student_reads(formula, label, words):
    mistake = next(m for m in mistakes(formula) if m.label == label and m.part == "backward")
    assert words in check_formula(formula, backward=mistake.plant()).text.replace("\n    ", " ")


@pytest.mark.parametrize("formula, label, words", [
    ("layer_norm", "n - 1", "BERT's is the biased one"),
    ("layer_norm", "eps outside the root", "inside the root"),
    ("attention", "no scale", "not divided by sqrt(D)"),
    ("attention", "minus ten", "still gets some attention"),
    ("attention", "mask on the query axis", "It must hide keys"),
    ("masked_softmax", "minus infinity", "NaN"),
    ("gelu", "tanh form", "published BERT checkpoints use erf"),
    ("cross_entropy", "mean over all rows", "divide by their number"),
    ("adamw", "decay through the gradient", "L2 regularisation"),
])  # fmt: skip
def test_wrong_forwards_are_named(formula, label, words):
    mistake = next(m for m in mistakes(formula) if m.label == label and m.part == "forward")
    report = check_formula(formula, forward=mistake.plant())
    assert report.stage == "forward" and words in report.sentence


def test_two_mistakes_at_once():
    def backward(dy, x, weight):
        dy, x = dy.reshape(-1, dy.shape[-1]), x.reshape(-1, x.shape[-1])
        return (dy @ weight).reshape(3, 5, 4), dy.T @ x / len(x), dy.mean(axis=0)

    report = check_formula("linear", backward=backward)
    assert "dW is a mean" in report.sentence and "db is a mean" in report.sentence
    assert report.sentence.count("Besides:") == 1


def test_float32_mistakes_are_named():
    mistake = next(m for m in mistakes("layer_norm") if m.label == "gamma forgotten in dx")
    report = check_formula("layer_norm", backward=mistake.plant(), dtype=np.float32)
    assert report.mistake == mistake.label


def test_planted_functions_are_called_like_the_librarys():
    for mistake in BACKWARDS:
        assert list(inspect.signature(mistake.plant()).parameters)[0].startswith("d")
