"""Every kernel against its formula, on the cases of the formulas and on large arrays, for every type it claims."""

import numpy as np
import pytest
from formula_cases import CASES

import bertnp.functional as F
from bertnp.backend import FORMULAS, gelu_polynomial, get_backend, numpy_kernels

KERNELS = [(name, dtype) for name, f in FORMULAS.items() for dtype in sorted(f.kernels.get("numpy", (0, ()))[1])]


def test_there_are_kernels():
    assert ("gelu", "float32") in KERNELS


@pytest.mark.parametrize("name, dtype", KERNELS)
@pytest.mark.parametrize("shape", [(1,), (7, 5), (3, 0, 2), (numpy_kernels.BLOCK * 2 + 13,), (2, 3, 4097)])
def test_kernel_is_its_formula(name, dtype, shape):
    rng = np.random.default_rng(0)
    formula = FORMULAS[name]
    arrays = [(4 * rng.standard_normal(shape)).astype(dtype) for _ in formula.signature.parameters]
    kept = [array.copy() for array in arrays]
    fast = formula.kernels["numpy"][0](*arrays)
    exact = formula.formula(*(array.astype(np.float64) for array in arrays))
    assert fast.dtype == dtype and fast.shape == shape
    scale = max([1.0, *(np.abs(array).max(initial=0) for array in arrays)])
    np.testing.assert_allclose(fast, exact, rtol=0, atol=2 * np.finfo(dtype).eps * scale**2)
    for array, before in zip(arrays, kept, strict=True):
        np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("name, dtype", KERNELS)
def test_kernel_takes_views_and_extremes(name, dtype):
    formula = FORMULAS[name]
    big = np.array([[-np.inf, -1e30, -80, -13, -1e-30, -0.0], [0.0, 1e-30, 5.5, 13, 80, 1e18]], dtype)[:, ::-1]
    for last in (big[:, 1:], big.T):
        arrays = [np.ones_like(last)] * (len(formula.signature.parameters) - 1) + [last]
        with np.errstate(all="ignore"):
            fast, exact = formula.kernels["numpy"][0](*arrays), formula.formula(*arrays)
        finite = np.isfinite(exact)
        assert (np.isfinite(fast) == finite).all()
        np.testing.assert_allclose(fast[finite], exact[finite], rtol=1e-6, atol=1e-5)


def test_kernel_runs_for_its_type_only():
    x, host = np.linspace(-3, 3, 7), get_backend("numpy")
    assert F.gelu.kernel_for(host, (x,), {}) is None
    assert F.gelu.kernel_for(host, (x.astype(np.float32),), {}) is numpy_kernels.gelu


def test_polynomial_is_the_fit():
    coefficients, error = gelu_polynomial.fit(rounds=60)
    assert error < 6.5e-8
    x = np.linspace(-40, 40, 200_001)
    stored, fitted = (np.polynomial.Polynomial(c) for c in (gelu_polynomial.COEFFICIENTS, coefficients))
    np.testing.assert_allclose(np.tanh(x * stored(x * x)), np.tanh(x * fitted(x * x)), rtol=0, atol=1.5e-7)
    phi = FORMULAS["gelu"].formula(x) / np.where(x == 0, 1, x)
    near = x != 0
    assert np.abs((1 + np.tanh(x * stored(x * x))) / 2 - phi)[near].max() < 3e-8


def test_every_kernel_has_a_case():
    assert {name.removesuffix("_backward") for name, _ in KERNELS} <= {case.formula for case in CASES}
