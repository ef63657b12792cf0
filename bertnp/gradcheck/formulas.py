"""Checking a formula of the library, or somebody's own version of it, on cases made to find mistakes."""

import numpy as np

import bertnp.functional  # noqa: F401  declares the formulas
from bertnp.backend import to_numpy
from bertnp.gradcheck.cases import cases, has_backward, on_device, output_names
from bertnp.gradcheck.checking import SAME, SINGLE_RTOL, Check, _said
from bertnp.gradcheck.recognition import KnownMistakes, known_forward_mistakes
from bertnp.gradcheck.report import Report


def check_formula(
    name, forward=None, backward=None, *, method="central", seed=0, device=None, dtype=np.float64, max_coords=64,
    rtol=None, directional=3,
):  # fmt: skip
    """Check a formula by name, or your own functions in its place. Returns a Report.

        check_formula("softmax")                                       # the library's own pair
        check_formula("softmax", backward=my_softmax_backward)         # yours, with the library's forward
        check_formula("softmax", my_softmax, my_softmax_backward)      # both of yours
        check_formula("layer_norm", forward=my_layer_norm)             # a forward: must return what the library's does

    Your functions take and return what the library's do, see `help(bertnp.functional.softmax_backward)`; names of your
    own are fine. Every case of the formula is tried until one fails. A common mistake is called by its name.

    name: a formula of bertnp.functional, or a block of bertnp.gradcheck.blocks
    method: as in `check`; almost constant rows are always judged by the complex step
    seed: of the cases   device, dtype: where and in which float type the functions run
    """
    own = forward is not None or backward is not None
    # rows that are constant to a hundred-thousandth have no digits left in shorter floats
    everything = [case for case in cases(name, seed) if not case.complex_only or np.dtype(dtype) == np.float64]
    if backward is not None and not has_backward(name):
        raise ValueError(f"{name} has no backward: hand in a forward only")
    total = None
    for case in everything:
        arguments = on_device(case.arguments, device or "numpy", dtype)
        report = None
        if forward is not None:
            report = _check_forward(case, everything, forward, arguments, dtype)
        elif not has_backward(name):
            raise ValueError(f"{name} has no backward, and you gave no forward: there is nothing to check")
        if has_backward(name) and (report is None or (report.ok and (backward is not None or not own))):
            report = _check_backward(case, forward, backward, arguments, method, seed, max_coords, rtol, directional)
        if total is None:
            total = report
        else:
            total.add(report)
        if not total.ok:
            break
    return total


def _check_forward(case, others, forward, arguments, dtype):
    """Do your outputs agree with the library's?"""
    report = Report(case.formula, f"forward, {np.dtype(dtype).name}")
    report.praise = "it returns what the formula gives."
    right = [to_numpy(y) for y in case.forward(arguments)]
    mine = error = None
    try:
        mine = [to_numpy(y) for y in case.forward(arguments, forward)]
    except Exception as raised:
        error = raised
        report.fail("forward", f"Your forward raised {_said(raised)} on the case '{case.label}'.")
    names = output_names(case.formula)
    if mine is not None and len(mine) != len(right):
        report.fail("forward", f"It returns {len(mine)} values, expected {len(right)}: {', '.join(names)}.")
    for output, y, expected in zip(names, mine or (), right, strict=False):
        if report.ok:
            sentence = difference(output, y, expected, SINGLE_RTOL.get(np.dtype(dtype).name, SAME))
            if sentence:
                report.fail("forward", f"{sentence} (case '{case.label}').")
    if not report.ok:
        known = known_forward_mistakes(case, mine, error)
        for other in others if len(known) > 1 else ():  # alike on this case: the other cases tell them apart
            outputs = [to_numpy(y) for y in other.forward(other.arguments, forward)]
            same = known_forward_mistakes(other, outputs, None)
            known = [mistake for mistake in known if mistake in same] or known
        if known:
            report.fail("forward", known[0].sentence, known[0].label)
    return report


def difference(name, mine, expected, rtol):
    """How an output differs from what it should be, in words; None if it doesn't, by more than rtol of the largest."""
    if mine.shape != expected.shape:
        return f"{name} has shape {mine.shape}, expected {expected.shape}"
    if not np.isfinite(mine).all():
        return f"{name} is not finite"
    error = np.abs(mine - expected)
    if error.max(initial=0.0) > rtol * np.abs(expected).max(initial=0.0):
        at = np.unravel_index(error.argmax(), error.shape)
        place = ", ".join(str(int(i)) for i in at)
        return f"{name} is not the formula's, most of all at [{place}]: {mine[at]:+.6g} instead of {expected[at]:+.6g}"
    return None


def _check_backward(case, forward, backward, arguments, method, seed, max_coords, rtol, directional):
    method = "complex" if case.complex_only else method
    return Check(
        case.slope_forward(forward),
        lambda g, **arguments: case.backward(g, arguments, backward, forward),
        arguments,
        wrt=case.wrt,
        method=method,
        h=None if method == "complex" else case.h,
        rtol=rtol,
        max_coords=max_coords,
        must=case.must,
        directional=directional,
        shapes=case.shapes,
        seed=seed,
        title=case.formula,
        case=case.label,
        known=KnownMistakes(case),
        numbers=case.numbers,
    ).run()
