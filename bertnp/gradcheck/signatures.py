"""What a wrong gradient gives away about its mistake, whatever function it belongs to.

Lost factors leave a constant ratio behind, lost transposes the right numbers in wrong places, a plain assignment to
repeated rows wrong rows, and half a softmax rows that no longer add up to zero.
"""

import itertools
import math

import numpy as np

RATIO_SPREAD = 1e-5  # a ratio is constant if it varies by no more than this
NEAR = 1e-5  # numbers are equal if they differ by no more than this, of the largest


def describe(wrong, context):
    """A sentence about the rows that are wrong.

    context: .rows of all tensors, .axes {name: letters}, .inputs by name, .numbers {"1 - p": 0.75}
    """
    by_sentence = {}
    for row in wrong:
        by_sentence.setdefault(_describe_one(row, context), []).append(row.name)
    parts = []
    for sentence, names in by_sentence.items():
        parts.append(f"{_joined(names)}: the gradient {sentence}.")
    right = [row.name for row in context.rows if row.verdict != "WRONG"]
    if right:
        parts.append(f"{_joined(right)}: right.")
    return " ".join(parts)


def _joined(names, most=4):
    """Names as a reader says them: a, b and c."""
    shown = names if len(names) <= most else [*names[: most - 1], f"{len(names) - most + 1} others"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _describe_one(row, context):
    known = ~np.isnan(row.expected)
    yours, expected = row.yours[known], row.expected[known]
    whole = bool(known.all())
    if not row.checked or row.error <= row.allowed:
        return "disagrees along a random direction, though every element looked at is right: look at more of them"
    if not yours.any():
        return "is 0 everywhere, and it should not be"
    ratio = constant_ratio(yours, expected, row.allowed)
    if ratio is not None:
        return _ratio_sentence(ratio, row, context)
    tests = (_is_another, _is_transposed, _wrong_rows, _is_shuffled, _wrong_zeros, _lost_sum, _lost_constant)
    for test in tests if whole else ():
        sentence = test(row, context)
        if sentence:
            return sentence
    mine, should = row.at_worst()
    place = ", ".join(str(int(i)) for i in row.worst)
    share = (np.abs(yours - expected) > row.allowed).mean()
    where = "everywhere" if share == 1 else f"in {share:.0%} of the elements looked at"
    return f"is wrong {where}, most of all at [{place}]: {mine:+.6g} where the slope is {should:+.6g}"


def constant_ratio(yours, expected, allowed):
    """yours / expected where that is one number for all elements, else None."""
    clear = np.abs(expected) > max(1e3 * allowed, 1e-3 * np.abs(expected).max(initial=0.0))
    if not clear.any():
        return None
    ratios = yours[clear] / expected[clear]
    ratio = float(np.median(ratios))
    loose = max(RATIO_SPREAD * np.abs(yours).max(), 10.0 * allowed)
    if np.abs(yours - ratio * expected).max() > loose or (clear.sum() < 2 and yours.size > 1):
        return None
    return ratio


def named_ratios(row, context):
    """(value, name, what it hints at) of the factors that get lost or doubled most often."""
    sizes = {}
    for name, value in context.inputs.items():
        letters = context.axes.get(name)
        for axis, size in enumerate(getattr(value, "shape", ())):
            sizes.setdefault(letters[axis] if letters else f"the size of axis {axis} of {name}", size)
    sizes = {name: size for name, size in sizes.items() if size > 1}
    mean = "a mean is taken where a sum belongs, or twice where it belongs once"
    lost_mean = "a sum is taken where a mean belongs"
    yield -1.0, "-1", "the sign is turned round"
    yield 2.0, "2", "a factor 2 is there twice, or a term is counted double"
    yield 0.5, "1/2", "a factor 2 is lost, or a half too many"
    for name, value in context.numbers.items():
        yield value, name, "that factor is there once too often, or its inverse is missing"
        yield 1.0 / value, f"1/({name})", "that division is there once too often, or a factor is missing"
    for name, size in sizes.items():
        yield math.sqrt(size), f"sqrt({name})", f"a division by sqrt({name}) is missing"
        yield 1.0 / math.sqrt(size), f"1/sqrt({name})", f"there is one division by sqrt({name}) too many"
        yield 1.0 / size, f"1/{name}", mean
        yield float(size), name, lost_mean
    for (a, m), (b, n) in itertools.combinations(sizes.items(), 2):
        yield 1.0 / (m * n), f"1/({a} * {b})", mean
        yield float(m * n), f"{a} * {b}", lost_mean


def _ratio_sentence(ratio, row, context):
    for value, name, hint in named_ratios(row, context):
        if abs(ratio - value) <= 1e-4 * abs(value):
            return f"is {name}{_as_number(name, value)} times what it should be, everywhere: {hint}"
    return f"is {ratio:.6g} times what it should be, everywhere: a constant factor is missing, or one too many"


def _as_number(name, value):
    return "" if name in ("-1", "2", "1/2") else f" = {value:.4g}"


def _near(a, b, scale=None):
    scale = max(np.abs(a).max(initial=0.0), np.abs(b).max(initial=0.0)) if scale is None else scale
    return a.shape == b.shape and bool(np.abs(a - b).max(initial=0.0) <= NEAR * scale)


def _is_another(row, context):
    """The numbers are those of another tensor's gradient."""
    for other in context.rows:
        if other is not row and not np.isnan(other.expected).any() and _near(row.yours, other.expected):
            return f"is the gradient of {other.name}: the two have changed places"


def _is_transposed(row, context):
    for order in itertools.permutations(range(row.yours.ndim)):
        if order != tuple(range(row.yours.ndim)) and _near(row.yours.transpose(order), row.expected):
            return f"is transposed: its axes come in the order {order}"


def _wrong_rows(row, context):
    """Only some rows are wrong; where an input of integers says which rows are read, those read more than once."""
    if row.yours.ndim < 2:
        return None
    off = np.abs(row.yours - row.expected) > max(row.allowed, NEAR * np.abs(row.expected).max())
    wrong = np.flatnonzero(off.any(axis=tuple(range(1, off.ndim))))
    if not 0 < len(wrong) < len(off):
        return None
    for name, ids in context.inputs.items():
        if getattr(ids, "dtype", None) is None or ids.dtype.kind not in "iu" or ids.size == 0 or ids.min() < 0:
            continue
        if ids.max() >= len(off):
            continue
        times = np.bincount(ids.reshape(-1), minlength=len(off))
        if set(wrong) == set(np.flatnonzero(times > 1)):
            return (
                f"is wrong in the rows {_listed(wrong)}, which are just those that {name} names more than once: their "
                "gradients have to add up (np.add.at), and an assignment keeps only the last"
            )
        if set(wrong) <= set(np.flatnonzero(times == 0)):
            return f"is not 0 in the rows {_listed(wrong)}, although {name} never reads them"
    zero = not np.abs(row.expected[wrong]).max() > row.allowed
    tail = ": the output does not depend on them, so 0 is right" if zero else "; all others are right"
    return f"is wrong in the rows {_listed(wrong)}{tail}"


def _listed(rows):
    shown = ", ".join(str(int(r)) for r in rows[:6])
    return shown + (f" and {len(rows) - 6} more" if len(rows) > 6 else "")


def _is_shuffled(row, context):
    if row.yours.ndim > 1 and _near(np.sort(row.yours, axis=None), np.sort(row.expected, axis=None)):
        return "has the right numbers in wrong places: a reshape cannot swap axes, only a transpose can"


def _wrong_zeros(row, context):
    """Wrong only where the slope is 0, or only where yours is."""
    off = np.abs(row.yours - row.expected) > row.allowed
    if off.all() or not off.any():
        return None
    if np.abs(row.expected[off]).max() <= row.allowed:
        return f"is not 0 in {off.sum()} of {off.size} elements that f does not depend on; all others are right"
    if not row.yours[off].any():
        return f"is 0 in {off.sum()} of {off.size} elements, where it should not be; all others are right"


def _lost_sum(row, context):
    """The expected rows add up to zero (the forward does not feel a constant added to a row), yours do not."""
    scale = np.abs(row.expected).max()
    for axis in reversed(range(row.expected.ndim)):
        if row.expected.shape[axis] < 2:
            continue
        if np.abs(row.expected.sum(axis=axis)).max() > NEAR * scale * row.expected.shape[axis]:
            continue
        if np.abs(row.yours.sum(axis=axis)).max() > 1e3 * NEAR * scale:
            where = "along the last axis" if axis == row.expected.ndim - 1 else f"along axis {axis}"
            return (
                f"does not add up to 0 {where}, and it must: a constant added there changes nothing in f. The term "
                "that takes a mean away is missing, or runs over another axis"
            )


def _lost_constant(row, context):
    """Yours and the expected one differ by one number for each row."""
    difference = row.yours - row.expected
    if row.yours.ndim and row.yours.shape[-1] > 1:
        if _near(difference, difference.mean(axis=-1, keepdims=True) + 0 * difference, np.abs(difference).max()):
            return "differs from the slopes by one constant for each row: a sum or mean over the last axis is not right"
