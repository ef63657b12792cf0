"""Chapter 05."""

import bertnp.functional as F
from bertnp.gradcheck import check_formula
from bertnp.learn.exercises import Exercise, Verdict


def judged(report):
    """A report of the gradient checker as a verdict."""
    return Verdict(report.ok, float(report.ok), report.text, report.sentence or "", report.mistake or "")


EXERCISES = [
    Exercise(
        "5.1",
        "softmax",
        "Write a softmax that does not overflow, for the last axis of any array.",
        ("softmax",),
        {"softmax": F.softmax},
        lambda mine, seed: judged(check_formula("softmax", forward=mine["softmax"], seed=seed)),
        (
            "exp(800) is infinite. Which number can be subtracted from all x of a row without changing y?",
            "Subtract the largest x of each row; keepdims=True keeps the axis, so that the shapes go together.",
            "exps = np.exp(x - x.max(axis=-1, keepdims=True)), then divide by its sum over the last axis.",
        ),
    ),
    Exercise(
        "5.2",
        "softmax, backward",
        "Write the backward of softmax from its outputs y, without the full Jacobian.",
        ("softmax_backward",),
        {"softmax_backward": F.softmax_backward},
        lambda mine, seed: judged(check_formula("softmax", backward=mine["softmax_backward"], seed=seed)),
        (
            "Every y_j depends on every x_i: what is the derivative of y_j by x_i for i = j, and for i != j?",
            "The sum over k of dy_k y_k is one number for each row: keep its axis.",
            "From dy take that sum, then multiply by y.",
        ),
        points=2,
        needs=("5.1",),
    ),
]
