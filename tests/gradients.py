"""Checking a backward: against differences of its forward, and for what every backward must hold to."""

import numpy as np
from formula_cases import as_tuple, first

from bertnp.backend import FORMULAS

STEP = np.finfo(np.float64).eps ** (1 / 3)  # where the errors of rounding and of truncation meet
TINY = 1e-30  # nothing is subtracted in a complex step, so it can be as short as this


def central_differences(f, dy, arguments, name, step=STEP):
    """d(Σ dy · f)/d(argument), one element after the other: (L(x + h) - L(x - h)) / 2h

    The step h does not grow with x: the formulas bend as sharply at 80 as at 1.
    """
    values = {**arguments, name: arguments[name].copy()}
    x = values[name]
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        at = x[i]
        above, below = at + step, at - step
        x[i] = above
        up = np.array(first(f(**values)))
        x[i] = below
        down = np.array(first(f(**values)))
        x[i] = at
        gradient[i] = (dy * (up - down)).sum() / (above - below)
    return gradient


def complex_steps(f, dy, arguments, name):
    """d(Σ dy · f)/d(argument), one element after the other: Im L(x + ih) / h, exact to rounding"""
    values = {**arguments, name: arguments[name].astype(complex)}
    x = values[name]
    gradient = np.empty(x.shape)
    for i in np.ndindex(x.shape):
        x[i] += 1j * TINY
        gradient[i] = (dy * np.imag(first(f(**values)))).sum() / TINY
        x[i] = arguments[name][i]
    return gradient


def assert_close(actual, expected, tolerance, what):
    """max|a - b| <= tolerance · the largest magnitude of either; zeros must be zeros."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    assert np.isfinite(actual).all(), f"{what}: not finite"
    scale = max(np.abs(actual).max(initial=0), np.abs(expected).max(initial=0))
    error = np.abs(actual - expected)
    worst = np.unravel_index(error.argmax(), error.shape) if error.size else ()
    assert error.max(initial=0) <= tolerance * scale, (
        f"{what}: at {tuple(int(i) for i in worst)} {actual[worst]}, expected {expected[worst]}; "
        f"error {error.max() / scale:.1e} of the largest, allowed {tolerance:.0e}"
    )


def assert_gradients(case, forward=None, backward=None):
    """The backward of a case's formula is the derivative of its forward, and a backward in all that goes with that.

    forward, backward: bodies to check in place of the library's textbook ones. Raises AssertionError.
    """
    forward = forward or FORMULAS[case.formula].formula
    dy = case.cotangent()
    arguments = {k: read_only(v) for k, v in case.arguments.items()}
    result = tuple(read_only(v) for v in as_tuple(forward(**arguments)))

    def gradients(dy):
        try:
            return case.call_backward(read_only(dy), arguments, result, backward)
        except (ValueError, IndexError) as error:  # shapes that do not fit, or an input written to
            raise AssertionError(f"{case}: backward raised {error}") from error

    analytic = gradients(dy)
    for name in case.wrt:
        what = f"{case}, d{name}"
        expected = central_differences(forward, dy, case.arguments, name, case.step.get(name, STEP))
        exact = complex_steps(forward, dy, case.arguments, name)
        if case.frozen_row is not None:
            expected[case.frozen_row] = exact[case.frozen_row] = 0
        assert_close(analytic[name], expected, 1e-7, f"{what} against central differences")
        assert_close(analytic[name], exact, 1e-13, f"{what} against complex steps")

    # linear in the cotangent, so zero for zero; and the same when run again
    other = case.rng().normal(size=np.shape(dy)) if np.ndim(dy) else 0.7
    combined, of_other, of_zero, again = (
        gradients(2.5 * dy - other),
        gradients(other),
        gradients(dy * 0.0),
        gradients(dy),
    )
    for name in case.wrt:
        expected = 2.5 * analytic[name] - of_other[name]
        assert_close(combined[name], expected, 1e-12, f"{case}, d{name}: not linear in the cotangent")
        assert not of_zero[name].any(), f"{case}, d{name}: not zero for a zero cotangent"
        assert np.array_equal(again[name], analytic[name]), f"{case}, d{name}: different on the second call"
    return analytic


def read_only(value):
    """A copy that raises when written to; what is no array comes back as it is."""
    if not isinstance(value, np.ndarray):
        return value
    value = value.copy()
    value.flags.writeable = False
    return value


def strided(value):
    """The same values, spread out in memory: neither C nor Fortran order, and no two elements side by side."""
    if not isinstance(value, np.ndarray) or value.ndim == 0:
        return value
    space = np.zeros([2 * n + 1 for n in value.shape[::-1]], value.dtype)
    view = space[tuple(slice(1, None, 2) for _ in value.shape)].T
    view[...] = value
    return view
