"""check(): every test in its place, with a sentence of its own; misuse is answered, not punished."""

import numpy as np
import pytest

from bertnp.backend import array_module, to_numpy
from bertnp.functional import embedding_backward, layer_norm, softmax, softmax_backward
from bertnp.gradcheck import GradientError, check
from bertnp.gradcheck import checking as module

X = np.random.default_rng(1).normal(size=(3, 5))
W = np.random.default_rng(2).normal(size=(4, 5))


def times(x, w):
    return x @ w.T


def times_backward(g, x, w):
    return {"x": g @ w, "w": g.T @ x}


def run(backward, f=times, inputs=None, **options):
    return check(f, backward, {"x": X, "w": W} if inputs is None else inputs, **options)


def fails(stage, words, backward, **more):
    report = run(backward, **more)
    assert report.stage == stage, report.text
    assert words in report.sentence, report.sentence
    return report


def test_right():
    report = run(times_backward)
    assert report.ok and [row.name for row in report.rows] == ["x", "w"]
    assert report.raise_if_failed() is report
    assert "the backward is the derivative of the forward" in str(report)


def test_inputs_on_the_device(device):
    from bertnp.backend import to

    def f(x):
        assert type(x) is type(there)
        return softmax(x)

    there = to(X, device)
    assert check(f, lambda g, x: {"x": softmax_backward(g, softmax(x))}, {"x": there}).ok
    assert check(f, lambda g, x: {"x": g * softmax(x)}, {"x": there}).stage == "coordinates"
    assert np.array_equal(to_numpy(there), X)


@pytest.mark.parametrize("f, backward", [
    (lambda x: (x * x).sum(), lambda g, x: {"x": 2 * g * x}),
    (lambda x: float((x * x).sum()), lambda g, x: {"x": 2 * g * x}),
    (lambda x: (x * x, "something else"), lambda g, x: {"x": 2 * g * x}),
    (lambda x: x.T, lambda g, x: {"x": g.T}),  # a view of the input
    (lambda x: x, lambda g, x: {"x": g}),  # the input itself
])  # fmt: skip
def test_what_f_may_return(f, backward):
    assert check(f, backward, {"x": X}).ok
    wrong = check(f, lambda g, x: {"x": 1.5 * backward(g, x)["x"]}, {"x": X})
    assert wrong.stage == "coordinates" and "1.5 times" in wrong.sentence


# the tests in their order


def test_runs():
    fails("runs", "f raised ZeroDivisionError", times_backward, f=lambda x, w: 1 / 0)
    fails("runs", "backward raised KeyError: 'q'", lambda g, x, w: {"x": {}["q"]})
    fails("runs", "expected floats", times_backward, f=lambda x, w: (x @ w.T).astype(int))
    fails("types", "f itself returned nan at [0, 0]", times_backward, f=lambda x, w: x @ w.T * np.nan)


def test_keys():
    fails("keys", "returned a tuple, expected a dictionary with the keys 'x', 'w'", lambda g, x, w: (g @ w, g.T @ x))
    fails("keys", "Name a gradient like the input", lambda g, x, w: {"dx": g @ w, "dw": g.T @ x})
    fails("keys", "returned 'x'; expected 'x', 'w'.", lambda g, x, w: {"x": g @ w})
    fails("keys", "'b', which is no input", lambda g, x, w: {**times_backward(g, x, w), "b": g})
    fails("keys", "None for 'w'", lambda g, x, w: {"x": g @ w, "w": None})


def test_types():
    def as_type(kind):
        return lambda g, x, w: {name: d.astype(kind) for name, d in times_backward(g, x, w).items()}

    fails("types", "digits are lost", as_type(np.float32))
    fails("types", "is int64", as_type(np.int64))
    fails("types", "has inf at [0, 0]", lambda g, x, w: {"x": g @ w * np.inf, "w": g.T @ x})
    single = {"x": X.astype(np.float32), "w": W.astype(np.float32)}
    fails("types", "double precision has crept in", as_type(np.float64), inputs=single)


def test_shapes():
    transposed = lambda g, x, w: {"x": g @ w, "w": x.T @ g}  # noqa: E731
    report = fails("shapes", "in the order (n, m). It is transposed", transposed, shapes={"w": "m n"})
    assert "(m, n) = (4, 5)" in report.sentence
    fails("shapes", "in the order (axis 1, axis 0)", transposed)
    fails("shapes", "as many numbers", lambda g, x, w: {"x": (g @ w).reshape(-1), "w": g.T @ x})
    fails("shapes", "always has the shape", lambda g, x, w: {"x": g, "w": g.T @ x})
    bias = {"x": X, "b": X[0]}
    fails("shapes", "summed over them", lambda g, x, b: {"x": g, "b": g}, f=lambda x, b: x + b, inputs=bias)


def test_zero_cotangent_and_linearity():
    fails("zero cotangent", "one of yours has not", lambda g, x, w: {"x": g @ w + w[0], "w": g.T @ x})
    fails("linearity", "squared, compared", lambda g, x, w: {"x": (g * g) @ w, "w": g.T @ x})
    fails("linearity", "w is not linear", lambda g, x, w: {"x": g @ w, "w": np.maximum(g, 0).T @ x})


def test_repeatability():
    rng = np.random.default_rng(0)
    fails("repeatability", "another gradient of x", lambda g, x, w: {"x": g @ w * rng.random(), "w": g.T @ x})
    fails("repeatability", "f gives another answer", times_backward, f=lambda x, w: x @ w.T * rng.random())
    kept = {}

    def adding(g, x, w):
        if g.any():
            kept["w"] = kept.get("w", 0) + g.T @ x
        return {"x": g @ w, "w": kept.get("w", 0 * w)}

    fails("repeatability", "gradient of w", adding)


def test_inputs_untouched():
    def spoils_g(g, x, w):
        answer = times_backward(g, x, w)
        g *= 2
        return answer

    def spoils_w(g, x, w):
        answer = times_backward(g, x, w)
        w[0] = 0
        return answer

    def f_spoils(x, w):
        y = x @ w.T
        x -= 1
        return y

    fails("inputs untouched", "backward writes into the cotangent g", spoils_g)
    fails("inputs untouched", "backward writes into the input w", spoils_w)
    fails("inputs untouched", "f writes into the input x", times_backward, f=f_spoils)
    before = X.copy()
    assert np.array_equal(X, before)


def test_non_contiguous():
    def reads_memory(g, x, w):
        if not x.flags.c_contiguous:
            x = np.lib.stride_tricks.as_strided(x, x.shape, (8 * x.shape[1], 8))
        return {"x": g @ w, "w": g.T @ x}

    fails("non-contiguous inputs", "as if it were one block", reads_memory)

    def refuses(g, x, w):
        x.view().shape = (15,)
        return times_backward(g, x, w)

    fails("non-contiguous inputs", "it raised AttributeError", refuses)


def test_one_wrong_element_of_many():
    big = {"x": np.random.default_rng(3).normal(size=(40, 50))}

    def backward(g, x):
        d = 2 * g * x
        d[17, 23] *= 1.001
        return {"x": d}

    report = check(lambda x: x * x, backward, big, max_coords=4)
    assert report.stage == "directions" or report.stage == "coordinates"
    assert report.rows[0].worst == (17, 23) and "worst at [17, 23]" in report.text
    assert check(lambda x: x * x, backward, big, max_coords=4, directional=0).ok, "four elements do not see it"
    assert not check(lambda x: x * x, backward, big, max_coords=4, directional=0, must={"x": [(17,)]}).ok
    assert not check(lambda x: x * x, backward, big, coords={"x": [(17, 23)]}, directional=0).ok


def test_small_errors_are_seen():
    def backward(g, x):
        return {"x": g * (1 - np.tanh(x) ** 2) * (1 + 1e-6)}

    for method in ("central", "5point", "complex"):
        assert not check(lambda x: np.tanh(x), backward, {"x": X}, method=method).ok


def test_a_loss_scaled_down_hides_nothing():
    f = lambda x: 1e-6 * softmax(x)  # noqa: E731
    assert check(f, lambda g, x: {"x": 1e-6 * softmax_backward(g, softmax(x))}, {"x": X}).ok
    assert "0 everywhere" in check(f, lambda g, x: {"x": 0 * x}, {"x": X}).sentence


def test_zero_to_rounding():
    report = check(lambda x: softmax(x).sum() + 0 * x[0, 0], lambda g, x: {"x": 0 * x}, {"x": X})
    assert report.ok and report.rows[0].verdict == "zero" and "zero to rounding" in report.text


# misuse


def test_ones_are_refused_with_the_reason():
    for g in ("ones", np.ones((3, 5)), 2 * np.ones((3, 5))):
        with pytest.raises(ValueError, match="a softmax adds up to 1"):
            check(softmax, lambda g, x: {"x": 0 * x}, {"x": X}, g=g)
    with pytest.raises(ValueError, match="zeros tests nothing"):
        check(softmax, lambda g, x: {"x": 0 * x}, {"x": X}, g=0 * X)


def test_own_cotangent():
    g = np.random.default_rng(0).normal(size=(3, 5))
    assert check(softmax, lambda g, x: {"x": softmax_backward(g, softmax(x))}, {"x": X}, g=g).ok
    with pytest.raises(ValueError, match="f returned shape"):
        check(softmax, lambda g, x: {"x": x}, {"x": X}, g=g[0])


@pytest.mark.parametrize("options, error, words", [
    ({"wrt": "q"}, ValueError, "no input 'q'"),
    ({"wrt": ["n"]}, TypeError, "'n' is int64"),
    ({"method": "magic"}, ValueError, "central, 5point or complex"),
    ({"h": -1}, ValueError, "positive number"),
    ({"coords": "some"}, ValueError, "coords"),
    ({"must": {"x": [(9, 9)]}}, ValueError, "has no element"),
    ({"must": {"q": [(0,)]}}, ValueError, "not among the inputs"),
    ({"must": [(0, 0)]}, TypeError, "expected a dictionary"),
    ({"shapes": {"x": "B"}}, ValueError, "but its shape is"),
    ({"shapes": {"x": "B B"}}, ValueError, "B is 3"),
    ({"shapes": {"q": "B"}}, ValueError, "no array 'q'"),
    ({"g": "uniform"}, ValueError, "expected \"normal\""),
])  # fmt: skip
def test_wrong_arguments(options, error, words):
    with pytest.raises(error, match=words):
        check(lambda x, n: x, lambda g, x, n: {"x": g}, {"x": X, "n": np.arange(3)}, **options)


def test_more_wrong_arguments():
    with pytest.raises(TypeError, match="two functions"):
        check(None, times_backward, {"x": X})
    with pytest.raises(TypeError, match="a dictionary from names to arrays"):
        check(times, times_backward, X)
    with pytest.raises(ValueError, match="nothing to differentiate by"):
        check(times, times_backward, {"n": np.arange(3)})


def test_single_precision():
    inputs = {"x": X.astype(np.float32)}
    good = lambda g, x: {"x": softmax_backward(g, softmax(x))}  # noqa: E731
    report = check(softmax, good, inputs)
    assert report.ok and "judged against slopes of f on float64" in report.text
    assert not check(softmax, lambda g, x: {"x": good(g, x)["x"] * np.float32(1.01)}, inputs).ok
    cut = check(lambda x: softmax(x.astype(np.float32)), good, inputs)
    assert cut.stage == "slopes" and "hardly a digit left" in cut.sentence


def test_complex_step_through_what_is_not_analytic():
    weight, bias = np.full(5, 1.3), np.full(5, 0.2)

    def with_var(x):
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(np.var(x, axis=-1, keepdims=True) + 1e-12) * weight + bias

    def backward(g, x):
        from bertnp.functional import layer_norm_backward

        _, x_hat, inv_std = layer_norm(x, weight, bias)
        return {"x": layer_norm_backward(g, x_hat, inv_std, weight)[0]}

    assert check(with_var, backward, {"x": X}).ok
    report = check(with_var, backward, {"x": X}, method="complex")
    assert report.stage == "slopes" and "np.var" in report.sentence
    assert check(lambda x: layer_norm(x, weight, bias), backward, {"x": X}, method="complex").ok
    refuses = check(lambda x: np.arctan2(x, 1.0), lambda g, x: {"x": g / (1 + x * x)}, {"x": X}, method="complex")
    assert refuses.stage == "slopes" and "cannot take complex input" in refuses.sentence


def test_a_repeated_id_in_a_large_table():
    ids = np.array([3, 900, 3, 3])
    inputs = {"ids": ids, "table": np.random.default_rng(0).normal(size=(1000, 3))}

    def last_one_wins(g, ids, table):
        d = np.zeros_like(table)
        d[ids] = g
        return {"table": d}

    f = lambda ids, table: table[ids]  # noqa: E731
    assert check(f, lambda g, ids, table: {"table": embedding_backward(g, ids, table)}, inputs).ok
    report = check(f, last_one_wins, inputs, must={"table": [(3,)]})
    assert "rows 3, which are just those that ids names more than once" in report.sentence


def test_the_seed_decides():
    one, same, other = (run(times_backward, seed=seed).rows[0].yours for seed in (0, 0, 1))
    assert np.array_equal(one, same) and not np.array_equal(one, other)


# the checker is broken on purpose, and the tests above would see it


@pytest.mark.parametrize("change, backward", [
    (lambda m: m.setattr(module.Check, "test_zero", lambda self: None), None),
    (lambda m: m.setattr(module.Check, "test_shapes", lambda self: None), None),
    (lambda m: m.setattr(module, "RTOL", {"central": 1e-2}), None),
])  # fmt: skip
def test_a_broken_checker_is_noticed(monkeypatch, change, backward):
    change(monkeypatch)
    with pytest.raises((AssertionError, ValueError)):
        test_zero_cotangent_and_linearity()
        test_shapes()
        test_small_errors_are_seen()


def test_gradient_error():
    with pytest.raises(GradientError, match="is 0 everywhere") as caught:
        run(lambda g, x, w: {"x": 0 * x, "w": g.T @ x}).raise_if_failed()
    assert isinstance(caught.value, AssertionError) and caught.value.report.stage == "coordinates"
    assert array_module(X) is np
