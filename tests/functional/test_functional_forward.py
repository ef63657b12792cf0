"""Every forward against its definition, computed slowly, one number at a time."""

import numpy as np
import pytest
from formula_cases import CASES
from slow_formulas import assert_definition

import bertnp.functional as F


@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward_is_the_definition(case):
    assert_definition(case)


def test_gelu_forms_differ_where_they_should():
    x = np.linspace(-5, 5, 100_001)
    gap = np.abs(F.gelu(x) - F.gelu_new(x))
    assert 4.7e-4 < gap.max() < 4.74e-4 and abs(abs(x[gap.argmax()]) - 2.70) < 0.01
    assert 0 < np.abs(F.gelu_fast(x) - F.gelu_new(x)).max() < 1e-10


def test_heads_are_cut_and_joined_without_loss():
    x = np.arange(2 * 5 * 12.0).reshape(2, 5, 12)
    np.testing.assert_array_equal(F.merge_heads(F.split_heads(x, 3)), x)
    np.testing.assert_array_equal(F.split_heads(x, 3)[1, 2, 4], x[1, 4, 8:12])


def test_confident_losses_keep_their_precision_in_single_precision():
    logits = np.array([[12.0, -12.0]], np.float32)
    loss = F.binary_cross_entropy(logits, np.array([[1.0, 0.0]], np.float32))
    np.testing.assert_allclose(loss, np.log1p(np.exp(-12.0)), rtol=1e-6)


def test_normal_distribution():
    np.testing.assert_allclose(F.normal_cdf(np.array([-1.0, 0.0, 1.0])), [0.15865525393145707, 0.5, 0.841344746068543])
    np.testing.assert_allclose(F.normal_pdf(np.array([0.0, 1.0])), [0.3989422804014327, 0.24197072451914337])


def test_masks_may_be_integers_and_change_no_float_type():
    x = np.array([[1.0, -2.0, 3.0]], np.float32)
    keep = np.array([[1, 0, 1]])
    for y, same in (
        (F.masked_softmax(x, keep), F.masked_softmax(x, keep == 1)),
        (F.dropout(x, keep, 0.25), F.dropout(x, keep == 1, 0.25)),
    ):
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y, same)


def test_relu_of_infinities():
    np.testing.assert_array_equal(F.relu(np.array([-np.inf, -0.5, np.inf])), [0.0, 0.0, np.inf])
