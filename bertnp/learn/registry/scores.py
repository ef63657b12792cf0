"""Chapter 05: softmax and its relatives, and losses."""

import numpy as np

import bertnp.functional as F
from bertnp.learn.exercises import Exercise
from bertnp.learn.judges import compared, formula, sieve, stream
from bertnp.learn.stubs import scores as stubs
from bertnp.learn.subjects import subject

SOFTMAX = {name: getattr(F, name) for name in ("softmax", "masked_softmax")}


def without_gamma(focal, rng):
    """With γ = 0 the focal loss is the cross-entropy, which the library has."""
    logits, labels = rng.randn(6, 4) * 2, rng.randint(0, 4, 6)
    yield compared("gamma = 0 is the cross-entropy", float(focal(logits, labels, 0.0)),
                   float(F.cross_entropy(logits, labels)[0]))  # fmt: skip


# softmaxes to be told apart, written without those of the library


def exps(x):
    return np.exp(x - x.max(axis=-1, keepdims=True))


def rows_to_one(x):
    return x / x.sum(axis=-1, keepdims=True)


def plain(x):
    return rows_to_one(exps(x))


VALUES = "Compare the quotients of two shares with exp of the difference of their x: no other function has them."
AXIS = "Try an array of three axes, and look along which the sums are 1."
LARGE = "Try numbers of some hundreds: the answer must be finite, and still add up to 1."
FAR = "Compare quotients where the x lie 30 or 40 apart, too."
OTHER_ROWS = "Try rows of very different size in one array: each must be as if it stood alone."


def judge_trusts_softmax(functions, seed):
    (accepts,) = functions.values()
    factor = 1.0 + stream("trusts_softmax", seed).rand()
    right = {
        "the largest subtracted first": plain,
        "by way of the logarithm": lambda x: np.exp(x - x.max(axis=-1, keepdims=True)
                                                    - np.log(exps(x).sum(axis=-1, keepdims=True))),
        "the mean subtracted, then the largest": lambda x: plain(x - x.mean(axis=-1, keepdims=True)),
    }  # fmt: skip
    wrong = {
        "over the axis before the last": (
            lambda x: np.swapaxes(plain(np.swapaxes(x, -1, -2)), -1, -2) if x.ndim > 1 else plain(x), AXIS),
        "over the first axis": (lambda x: np.moveaxis(plain(np.moveaxis(x, 0, -1)), -1, 0), AXIS),
        "over the whole array": (lambda x: np.exp(x - x.max()) / np.exp(x - x.max()).sum(), AXIS),
        "exp overflows": (lambda x: rows_to_one(np.exp(x)), LARGE),
        "one largest number for all rows": (lambda x: rows_to_one(np.exp(x - x.max())), OTHER_ROWS),
        "cut off at 20": (lambda x: rows_to_one(np.exp(np.clip(x, -20, 20))), FAR),
        "powers of 2": (lambda x: rows_to_one(2.0 ** (x - x.max(axis=-1, keepdims=True))), VALUES),
        "a temperature": (lambda x: plain(x / factor), VALUES),
        "squares in place of exp": (lambda x: rows_to_one((x - x.min(axis=-1, keepdims=True) + 1) ** 2), VALUES),
        "sigmoids, normalised": (lambda x: rows_to_one(1 / (1 + np.exp(-x))), VALUES),
        "of -x": (lambda x: plain(-x), VALUES),
        "the largest gets all": (lambda x: rows_to_one((x == x.max(axis=-1, keepdims=True)) * 1.0), VALUES),
        "logarithms of shares": (lambda x: np.log(plain(x)), "Shares are positive, and add up to 1."),
        "not normalised": (exps, "The shares of a row add up to 1."),
        "sorted": (lambda x: np.sort(plain(x), axis=-1), "Each share belongs to its own x: look at their order."),
        "the same shares for all": (lambda x: np.full(x.shape, 1 / x.shape[-1]), VALUES),
    }  # fmt: skip
    with np.errstate(all="ignore"):
        return sieve("trusts_softmax", accepts, right, wrong)


EXERCISES = [
    Exercise(
        "5.1",
        "Softmax",
        "Write a softmax that does not overflow, for the last axis of any array.",
        ("softmax",),
        {"softmax": F.softmax},
        formula("softmax"),
        (
            "exp(800) is infinite. Which number can be taken from all x of a row without changing y?",
            "Any number cancels in the quotient. Take the largest x of each row, so that no exponent is above 0.",
            "Largest number and sum both run over axis=-1 with keepdims=True, so that the shapes go together.",
        ),
        closed={"F.masked_softmax": F.masked_softmax, "the judge's softmax": plain, "the judge's exp": exps},
    ),
    Exercise(
        "5.2",
        "Softmax, backward",
        "Write the backward of softmax from its output, without the full Jacobian.",
        ("softmax_backward",),
        {"softmax_backward": F.softmax_backward},
        formula("softmax"),
        (
            "Every y_j depends on every x_i. What is the slope of y_j by x_i for i = j, and what for the others?",
            "y_j (1 - y_j) and -y_j y_i. Multiply by dy_j and sum over j: one sum for each row is all that is left.",
            "That sum is of dy y over the last axis, keepdims=True. Take it from dy; what stands in front of the "
            "bracket is y.",
        ),
        points=2,
        needs=("5.1",),
        closed={"F.masked_softmax_backward": F.masked_softmax_backward},
    ),
    Exercise(
        "5.4",
        "Cross-entropy, backward",
        "Write the gradient of the cross-entropy, with label smoothing and with rows that have no label.",
        ("cross_entropy_backward",),
        {"cross_entropy_backward": F.cross_entropy_backward},
        formula("cross_entropy"),
        (
            "Without smoothing it is p - t, a difference. What is t if the label gets 1 - ε of the target, and every "
            "class ε/C besides?",
            "Rows with the label ignore_index get 0, and the mean is over the others alone; if there are none, divide "
            "by 1.",
            "p is np.exp(log_p). Subtract ε/C everywhere, and 1 - ε at [rows, labels of these rows] with rows = "
            "np.flatnonzero of those that count. Then set the others to 0, and multiply by dloss / N.",
        ),
        points=3,
        closed={"F.weighted_cross_entropy_backward": F.weighted_cross_entropy_backward},
    ),
    Exercise(
        "5.5",
        "The temperature",
        "Write softmax(x / τ) and its backward, by x and by τ.",
        ("temperature_softmax", "temperature_softmax_backward"),
        {
            "temperature_softmax": stubs.temperature_softmax,
            "temperature_softmax_backward": stubs.temperature_softmax_backward,
        },
        subject(
            "temperature_softmax",
            {
                "ordinary": lambda rng: {"x": rng.randn(3, 5) * 2, "tau": np.array(0.6 + rng.rand())},
                "large numbers": lambda rng: {
                    "x": rng.randn(4, 5) * 2 + [[0], [900], [-900], [300]],
                    "tau": np.array(0.4),
                },
            },
            takes=("x", "y", "tau"),
            wrt=("x", "tau"),
            rows={"x": 0},
            shapes={"x": "B n"},
            known={
                "forward": {
                    "multiplied": "x is multiplied by τ: a small τ evens the shares out. Divide.",
                    "after the softmax": "The shares are divided by τ, and no longer add up to 1. Divide x.",
                    "not stable": "exp overflows for large numbers: take the largest of each row away first.",
                    "power of the shares unnormalised": "A power of the shares has the right quotients, but does not "
                    "add up to 1.",
                },
                "backward": {
                    "dx not divided": "dx lacks its 1/τ: the scores are x/τ, and rise only that fast.",
                    "dtau of the scores": "dτ lacks the factor -1/τ²: that is the slope of 1/τ.",
                    "dtau's sign": "dτ has the wrong sign: where τ grows, x/τ falls.",
                    "dtau for each row": "dτ has a number for each row. One τ served them all: sum over everything.",
                },
            },
        ),
        (
            "Put u = x/τ. You know softmax's backward, which gives du. Two paths lead back from u: to x, and to τ.",
            "u rises by 1/τ with x, and by -x/τ² with τ; and the one τ is in all elements of u.",
            "du is y times (dy minus the sum of dy y of the row). dx = du / τ, and dτ is one sum over everything of du "
            "times the slope of u by τ.",
        ),
        points=3,
        needs=("5.2",),
    ),
    Exercise(
        "5.6",
        "The focal loss",
        "Write the loss that counts easy examples less, and its gradient.",
        ("focal_loss", "focal_loss_backward"),
        {"focal_loss": stubs.focal_loss, "focal_loss_backward": stubs.focal_loss_backward},
        subject(
            "focal_loss",
            {
                "ordinary": lambda rng: {
                    "logits": rng.randn(6, 4) * 1.5,
                    "labels": rng.randint(0, 4, 6),
                    "gamma": 1.5 + rng.rand(),
                },
                "large numbers": lambda rng: {
                    "logits": rng.randn(5, 4) * 1000,
                    "labels": rng.randint(0, 4, 5),
                    "gamma": 2.0,
                },
            },  # fmt: skip
            takes=("logits", "labels", "gamma"),
            wrt=("logits",),
            outputs=("loss",),
            shapes={"logits": "n C"},
            also=without_gamma,
            known={
                "forward": {
                    "of the mean": "The weight is taken of the mean loss. Each example has its own weight: first "
                    "weigh, then average.",
                    "p for 1 - p": "It weighs with p^γ, so that easy examples count most. It is (1 - p)^γ.",
                    "sum": "That is a sum; the loss is the mean over the rows.",
                    "gamma not used": "That is the plain cross-entropy: the weight (1 - p)^γ is missing.",
                },
                "backward": {
                    "weight constant": "The weight (1 - p)^γ is taken as a constant. It depends on the scores too: "
                    "product rule.",
                    "p lost": "In the slope of the weight a factor p is lost: by log p, p itself has the slope p.",
                    "sign of the second term": "The slope of (1 - p)^γ by p is negative, -γ (1 - p)^(γ - 1): look at "
                    "the signs once more.",
                    "sum": "The mean's division by the number of rows is missing.",
                },
            },
        ),
        (
            "Write the loss of one row as a function of a = log p alone, with p = exp(a). What is its slope by a?",
            "By the product rule: -(1 - p)^γ, and from the weight γ (1 - p)^(γ-1) p a. And a = log p has the slope "
            "1hot - softmax by the scores, as in (5.6).",
            "log p comes from F.log_softmax, at [rows, labels]. One number for each row, the slope by a, times the row "
            "1hot - softmax, times dloss, by the number of rows.",
        ),
        points=4,
        needs=("5.4",),
    ),
    Exercise(
        "5.7",
        "Sparsemax",
        "Write shares that may be exactly 0, and their backward.",
        ("sparsemax", "sparsemax_backward"),
        {"sparsemax": stubs.sparsemax, "sparsemax_backward": stubs.sparsemax_backward},
        subject(
            "sparsemax",
            {
                "ordinary": lambda rng: {"x": rng.randn(4, 6) * 0.7},
                "three axes, large numbers": lambda rng: {"x": rng.randn(2, 3, 5) * 50},
            },
            takes=("y",),
            wrt=("x",),
            rows={"x": 0},
            known={
                "forward": {
                    "that is softmax": "That is softmax, whose shares are never 0.",
                    "one threshold for all": "One threshold serves the whole array. Each row has its own.",
                    "cut, then normalised": "It cuts at 0 and then divides. Sparsemax only subtracts, one number from "
                    "all of a row.",
                    "all in the sum": "The threshold is made from all x of the row. Only the k largest are in it, "
                    "those that stay above 0.",
                },
                "backward": {
                    "mean over all": "The mean is taken over the whole row. Only those with y > 0 moved the threshold.",
                    "threshold constant": "The threshold is taken as a constant. It moves with each x that is in its "
                    "sum.",
                    "softmax's rule": "That is softmax's backward. Here y is linear in x as long as the same ones are "
                    "above 0.",
                    "mean of the support, given to all": "Where y is 0 nothing happens when x moves a little: dx must "
                    "be 0 there.",
                },
            },
        ),
        (
            "Take three numbers, 1, 0.8 and -1, and find τ by hand: which of them stay above it? Then move one a "
            "little.",
            "Sort each row downwards and sum up along it (cumsum): k is how often the condition holds. Backward: "
            "inside the support y = x - τ, and τ is a mean.",
            "z = -np.sort(-x, axis=-1); np.take_along_axis fetches the sum at place k - 1. Backward: with s = (y > 0), "
            "take from dy its mean over s, and keep only what is in s.",
        ),
        points=4,
        needs=("5.2",),
    ),
    Exercise(
        "5.8",
        "Is this a softmax?",
        "Write a test that tells softmax from sixteen functions that are none; it must accept what is one.",
        ("trusts_softmax",),
        {"trusts_softmax": stubs.trusts_softmax},
        judge_trusts_softmax,
        (
            "What holds for every softmax? Sums, signs, order, what a constant added to x does, what large numbers do.",
            "One property alone fixes the values: y_i / y_j = exp(x_i - x_j) within a row. The others fix axes and "
            "digits.",
            "Use an array of three axes of different lengths; test the sums along the last, the logarithms of "
            "quotients against differences of x, and once more with x times 1000, and with rows that lie 1000 apart.",
        ),
        points=3,
        needs=("5.1",),
        closed=SOFTMAX,
    ),
]
