"""Small models give the numbers and gradients that transformers and PyTorch gave: stored, so no oracle is needed."""

from pathlib import Path

import numpy as np
import pytest
from model_cases import (
    FORWARD_TOLERANCE,
    SMALL_CASES,
    assert_gradients_agree,
    assert_results_agree,
    by_name,
    draw_cotangents,
    run,
)

# written by `python tests/models/test_agreement_with_transformers.py`
STORED = Path(__file__).parents[1] / "reference" / "models.npz"


def joined(results):
    """Arrays by name as one flat array, in the order of their names."""
    return np.concatenate([results[name].ravel() for name in sorted(results)])


def stored(case, kind, found):
    """What is stored of a case's "results" or "gradients", cut into arrays named and shaped as those found."""
    with np.load(STORED) as arrays:
        values = arrays[f"{case.name} {kind}"]
    assert values.size == sum(array.size for array in found.values())
    ends = np.cumsum([found[name].size for name in sorted(found)])
    parts = dict(zip(sorted(found), np.split(values, ends[:-1]), strict=True))
    return {name: parts[name].reshape(array.shape) for name, array in found.items()}


@pytest.mark.parametrize("case", SMALL_CASES, ids=by_name)
def test_float64(case, device):
    model = case.model(device=device)
    cotangents = None if case.labels else draw_cotangents(case, run(case, model)[0])
    results, gradients = run(case, model, cotangents)
    assert_results_agree(case, results, stored(case, "results", results), FORWARD_TOLERANCE["float64"])
    assert_gradients_agree(gradients, stored(case, "gradients", gradients))


@pytest.mark.parametrize("case", SMALL_CASES, ids=by_name)
def test_float32(case, device):
    results, _ = run(case, case.model(np.float32, device))
    assert_results_agree(case, results, stored(case, "results", results), FORWARD_TOLERANCE["float32"])
