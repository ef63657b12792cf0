"""Comparing named intermediate results with a reference, to find the first line that goes wrong."""

import numpy as np

from bertnp.backend import to_numpy
from bertnp.gradcheck.report import Report, Row


def compare(mine, reference, rtol=1e-6):
    """Which of my intermediate results is the first that differs from the reference? Returns a Report.

        compare({"mean": mean, "x_hat": x_hat, "y": y}, {"mean": …, "x_hat": …, "y": …})

    mine, reference: dictionaries of arrays; the order of the reference is the order of the computation
    rtol: how far two arrays may differ, of the largest magnitude in either

    Chapter 15, equation 15.3.
    """
    for name, values in (("mine", mine), ("reference", reference)):
        if not isinstance(values, dict):
            raise TypeError(f"{name}: expected a dictionary from names to arrays, got {type(values).__name__}")
    report = Report("compare", f"with {len(reference)} references, rtol {rtol:.0e}")
    report.praise = "all agree."
    first = None
    for name, expected in reference.items():
        expected = np.asarray(to_numpy(expected), dtype=np.float64)
        reason = None
        if name not in mine:
            reason = f"{name} is missing in yours"
        else:
            yours = np.asarray(to_numpy(mine[name]), dtype=np.float64)
            if yours.shape != expected.shape:
                reason = f"{name} has shape {yours.shape}, expected {expected.shape}"
            else:
                row = _row(name, yours, expected, rtol)
                report.rows.append(row)
                if row.verdict == "WRONG":
                    reason = f"{name} is the first that differs"
        first = first or reason
    if first:
        before = [row.name for row in report.rows if row.verdict == "ok"]
        report.fail("compare", f"{first}. Look at the line that makes it" + (
            "; what it is made from agrees." if before else "."))  # fmt: skip
    strange = [name for name in mine if name not in reference]
    if strange:
        report.notes.append(f"no reference for {', '.join(strange)}")
    return report


def _row(name, yours, expected, rtol):
    largest = max(np.abs(yours).max(initial=0.0), np.abs(expected).max(initial=0.0))
    row = Row("", name, expected.shape, expected.size, allowed=rtol * largest, yours=yours, expected=expected)
    if expected.size:
        error = np.abs(yours - expected)
        row.worst = np.unravel_index(np.nan_to_num(error, nan=np.inf).argmax(), error.shape)
        row.error = float(error[row.worst])
        if not row.error <= row.allowed:
            row.verdict = "WRONG"
    return row
