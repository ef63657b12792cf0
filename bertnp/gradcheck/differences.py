"""Slopes from the function alone: evaluate it a little to both sides, or a little into the complex plane.

    central    (y(x + h) - y(x - h)) / 2h                                      wrong by about h²
    5point     (y(x - 2h) - 8 y(x - h) + 8 y(x + h) - y(x + 2h)) / 12h         wrong by about h⁴
    complex    Im y(x + ih) / h                                                nothing is subtracted: exact to rounding

A difference loses digits as h shrinks (y(x + h) and y(x - h) agree in more and more of them) and bends as h grows. The
best h of the central difference is about ε^(1/3), of the five-point one about ε^(1/5), and less, ε^(1/4), where a
function bends as much as a network with layer norms does. The complex step has no such trade, but needs a function that
is analytic in every step: np.var, np.abs and np.maximum are not.
"""

import math

import numpy as np

EPS = float(np.finfo(np.float64).eps)
STEPS = {"central": EPS ** (1 / 3), "5point": EPS ** (1 / 4), "complex": 1e-30}


def slope(function, method, h):
    """dy/dt at t = 0 of `function`, which takes a number t (an imaginary one for the complex step) to an array.

    Chapter 02, equations 2.1 and 2.2.
    """
    if method == "complex":
        return np.imag(function(1j * h)) / h
    if method == "central":
        return (function(h) - function(-h)) / (2.0 * h)
    if method == "forward":
        return (function(h) - function(0.0)) / h
    return (function(-2.0 * h) - 8.0 * function(-h) + 8.0 * function(h) - function(2.0 * h)) / (12.0 * h)


def representable(x, h):
    """The step that x + h really takes: x + h is rounded, and (x + h) - x is not."""
    return float((x + h) - x)


def taylor(f, gradient, x, v, h=0.01, steps=5):
    """Remainders |f(x + hv) - f(x) - h <gradient, v>| for h, h/2, h/4, … and the slopes log2 of their quotients.

    With the right gradient the remainder falls like h², so the slopes are 2; with a wrong one they are 1. It is a
    picture, not a judge: a gradient that is wrong by one per cent still shows a slope near 2 where h is large.

    f: array -> number   gradient, x, v: same shape   ->  remainders: (steps,)   slopes: (steps - 1,)

    Chapter 02, equation 2.3.
    """
    x, v, gradient = (np.asarray(a, dtype=np.float64) for a in (x, v, gradient))
    if not x.shape == v.shape == gradient.shape:
        raise ValueError(f"x, v and gradient: expected one shape, got {x.shape}, {v.shape} and {gradient.shape}")
    along = float((gradient * v).sum())
    at_x = float(f(x.copy()))
    sizes = h / 2.0 ** np.arange(steps)
    remainders = np.array([abs(float(f(x + size * v)) - at_x - size * along) for size in sizes])
    smallest = np.finfo(np.float64).tiny
    slopes = np.log2(np.maximum(remainders[:-1], smallest) / np.maximum(remainders[1:], smallest))
    return remainders, slopes


def step_sweep(f, x, v, method="central", steps=None, exact=None, dtype=np.float64):
    """The error of a difference for many steps: the curve that falls with h, and rises again where digits run out.

    f: array -> number   x, v: same shape, the place and the direction   method: forward, central, 5point or complex
    steps: the steps h; None: 10⁻¹ to 10⁻¹²   exact: the true slope; None: found by the complex step, in float64
    dtype: in which f is computed
    ->  h: (n,)   error: (n,), |difference - exact| / |exact|
    """
    if method not in ("forward", *STEPS):
        raise ValueError(f"method: expected forward, central, 5point or complex, got {method!r}")
    steps = np.logspace(-1, -12, 34) if steps is None else np.asarray(steps, dtype=np.float64)
    x, v = np.asarray(x), np.asarray(v)

    def along(kind):
        kind = np.dtype(kind)
        return lambda t: np.asarray(f(x.astype(kind) + kind.type(t) * v.astype(kind)))

    complex_kind = {"float32": np.complex64, "float64": np.complex128}[np.dtype(dtype).name]
    if exact is None:
        exact = float(slope(along(np.complex128), "complex", STEPS["complex"]))
    function = along(complex_kind if method == "complex" else dtype)
    errors = [abs(float(slope(function, method, h)) - exact) / max(abs(exact), math.ulp(0.0)) for h in steps]
    return steps, np.array(errors)
