"""What a wrong gradient gives away without knowing the formula."""

import numpy as np
import pytest

from bertnp.functional import softmax, softmax_backward
from bertnp.gradcheck import check

RNG = np.random.default_rng(4)
X, W, Q = RNG.normal(size=(3, 5, 4)), RNG.normal(size=(7, 4)), RNG.normal(size=(6, 6))
SHAPES = {"x": "B S H", "w": "M H"}


def sentence(f, backward, inputs, **options):
    report = check(f, backward, inputs, **options)
    assert report.stage == "coordinates", report.text
    return report.sentence


@pytest.mark.parametrize("factor, words", [
    (-1.0, "is -1 times what it should be, everywhere: the sign"),
    (2.0, "is 2 times"),
    (0.5, "is 1/2 times"),
    (1 / 3, "1/B = 0.3333 times"),
    (1 / 5, "1/S = 0.2 times"),
    (3.0, "B = 3 times"),
    (1 / 15, "1/(B * S) = 0.06667 times"),
    (7**0.5, "sqrt(M) = 2.646 times"),
    (7**-0.5, "1/sqrt(M) = 0.378 times"),
    (0.7, "1 - p = 0.7 times"),
    (1 / 0.7, "1/(1 - p) = 1.429 times"),
    (1.2345, "is 1.2345 times what it should be, everywhere: a constant factor"),
    (0.0, "is 0 everywhere"),
])  # fmt: skip
def test_constant_ratios(factor, words):
    def backward(g, x, w, p):
        return {"x": g @ w, "w": factor * g.reshape(-1, 7).T @ x.reshape(-1, 4)}

    said = sentence(lambda x, w, p: x @ w.T, backward, {"x": X, "w": W, "p": 0.3}, shapes=SHAPES)
    assert words in said and said.startswith("w: the gradient is") and said.endswith("x: right.")


def test_without_names_of_axes():
    said = sentence(lambda x: x * x, lambda g, x: {"x": 2 * g * x / 5}, {"x": X})
    assert "1/the size of axis 1 of x = 0.2" in said


def test_transposed_and_swapped():
    product = lambda a, b: a @ b  # noqa: E731
    both = {"a": Q, "b": Q[::-1].copy()}
    assert "is transposed" in sentence(product, lambda g, a, b: {"a": (g @ b.T).T, "b": a.T @ g}, both)
    said = sentence(product, lambda g, a, b: {"a": a.T @ g, "b": g @ b.T}, both)
    assert "a: the gradient is the gradient of b" in said and "have changed places" in said


def test_places():
    f = lambda x: x.transpose(0, 2, 1)  # noqa: E731
    assert "right numbers in wrong places" in sentence(f, lambda g, x: {"x": g.reshape(x.shape)}, {"x": X})


def test_rows():
    def backward(g, x):
        d = 2 * g * x
        d[1] += 1.0 * g[1]
        return {"x": d}

    assert "wrong in the rows 1; all others are right" in sentence(lambda x: x * x, backward, {"x": X})
    ids, table = np.array([0, 4, 4, 2]), Q

    def leaks(g, ids, table):
        d = np.zeros_like(table)
        np.add.at(d, ids, g)
        d[5] += g.sum(0)
        return {"table": d}

    said = sentence(lambda ids, table: table[ids], leaks, {"ids": ids, "table": table})
    assert "not 0 in the rows 5, although ids never reads them" in said
    said = sentence(lambda x: x[:2], lambda g, x: {"x": np.concatenate([g, g[:1]])}, {"x": X})
    assert "the output does not depend on them, so 0 is right" in said


def test_zeros():
    f = lambda x: x[:, 0] * 2.0  # noqa: E731
    said = sentence(f, lambda g, x: {"x": np.repeat(2.0 * g[:, None], 5, 1)}, {"x": X})
    assert "not 0 in 48 of 60 elements that f does not depend on" in said

    def half(g, x):
        d = 2 * g * x
        d[:, ::2] = 0
        return {"x": d}

    assert "is 0 in 36 of 60 elements" in sentence(lambda x: x * x, half, {"x": X})


def test_lost_sums_and_constants():
    right = lambda g, x: softmax_backward(g, softmax(x))  # noqa: E731
    said = sentence(softmax, lambda g, x: {"x": softmax(x) * g}, {"x": X})
    assert "does not add up to 0 along the last axis" in said
    said = sentence(lambda x: x * x, lambda g, x: {"x": 2 * g * x + g.sum(-1, keepdims=True)}, {"x": X})
    assert "one constant for each row" in said
    assert check(softmax, lambda g, x: {"x": right(g, x)}, {"x": X}).ok


def test_the_worst_element_when_nothing_else_fits():
    said = sentence(lambda x: x**3, lambda g, x: {"x": g * x * x * (4.5 + np.sin(x * 9))}, {"x": X})
    assert "is wrong everywhere, most of all at [" in said and "where the slope is" in said


def test_long_lists_stay_short():
    inputs = {f"x{i}": RNG.normal(size=3) for i in range(9)}
    report = check(lambda **x: sum(x.values()), lambda g, **x: {n: 2 * g if n == "x0" else g for n in x}, inputs)
    assert report.sentence.endswith("x1, x2, x3 and 5 others: right.")
