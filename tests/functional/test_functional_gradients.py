"""Every backward is the derivative of its forward; every formula keeps type, inputs and memory order in peace."""

import numpy as np
import pytest
from formula_cases import CASES, PAIRED_CASES, as_tuple, cases_of
from gradients import assert_close, assert_gradients, read_only, strided

from bertnp.backend import FORMULAS

by_case = pytest.mark.parametrize("case", CASES, ids=str)
by_pair = pytest.mark.parametrize("case", PAIRED_CASES, ids=str)


@by_pair
def test_backward_is_the_derivative(case):
    assert_gradients(case)


@by_case
def test_inputs_are_untouched_and_nothing_overflows(case):
    arguments = {k: read_only(v) for k, v in case.arguments.items()}
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        result = case.call(arguments)
        if case.wrt:
            frozen = tuple(read_only(v) for v in as_tuple(result))
            case.call_backward(read_only(case.cotangent()), arguments, frozen)


@by_case
def test_strided_inputs_give_the_same(case):
    result = case.call(case.arguments)
    spread = {k: strided(v) for k, v in case.arguments.items()}
    spread_result = case.call(spread)
    for name, value in case.outputs(spread_result).items():
        assert_close(value, case.outputs(result)[name], 1e-14, f"{case}, {name}")
    if case.wrt:
        dy = case.cotangent()
        expected = case.call_backward(dy, case.arguments, result)
        gradients = case.call_backward(strided(dy), spread, tuple(strided(v) for v in as_tuple(spread_result)))
        for name in case.wrt:
            assert_close(gradients[name], expected[name], 1e-13, f"{case}, d{name}")


OUT_OF_RANGE_OF_HALF = ("far out", "large logits", "near constant", "zero")
TYPED = [(c, d) for c in CASES for d in ("float16", "float32", "float64")]
TYPED = [(c, d) for c, d in TYPED if d != "float16" or c.label not in OUT_OF_RANGE_OF_HALF]


@pytest.mark.parametrize("case, dtype", TYPED, ids=str)
def test_results_have_the_type_of_the_inputs(case, dtype):
    arguments = case.arguments_as(lambda x: x.astype(dtype))
    result = case.call(arguments)
    for name, value in case.outputs(result).items():
        assert value.dtype == dtype, f"{case}: {name} is {value.dtype}"
    if case.wrt:
        for name, gradient in case.call_backward(case.cotangent(dtype), arguments, result).items():
            assert gradient.dtype == dtype, f"{case}: d{name} is {gradient.dtype}"


# their exponentials and quotients magnify the rounding of single steps, rightly
ILL_CONDITIONED = ("layer_norm-near_constant", "attention-large_logits")


@pytest.mark.parametrize("case", [case for case in CASES if str(case) not in ILL_CONDITIONED], ids=str)
def test_single_precision_is_double_precision_rounded(case):
    single = case.arguments_as(lambda x: x.astype(np.float32))
    double = case.arguments_as(lambda x: x.astype(np.float32).astype(np.float64))
    result, expected = case.call(single), case.call(double)
    for name, value in case.outputs(result).items():
        assert_close(value, case.outputs(expected)[name], 2e-6, f"{case}, {name}")
    if case.wrt:
        dy = case.cotangent(np.float32)
        gradients = case.call_backward(dy, single, result)
        expected = case.call_backward(np.float64(dy), double, expected)
        for name in case.wrt:
            assert_close(gradients[name], expected[name], 5e-6, f"{case}, d{name}")


# what the gradients of single formulas must be, beyond being derivatives


@pytest.mark.parametrize("formula", ["softmax", "masked_softmax"])
def test_gradients_through_softmax_sum_to_zero(formula):
    for case in cases_of(formula):
        dx = case.call_backward(case.cotangent(), case.arguments, case.call(case.arguments))["x"]
        assert np.abs(dx.sum(axis=-1)).max() <= 1e-14 * np.abs(dx).max()


def test_a_row_without_keys_gives_zeros():
    (case,) = (c for c in cases_of("attention") if c.label == "a row without keys")
    y, probabilities = case.call(case.arguments)
    empty = ~case.arguments["mask"][:, 0].any(axis=-1)  # (B, S)
    assert empty.sum() == 1
    rows = np.broadcast_to(empty[:, None], y.shape[:3])
    assert not y[rows].any() and not probabilities[rows].any()
    gradients = case.call_backward(case.cotangent(), case.arguments, (y, probabilities))
    assert not gradients["query"][rows].any() and gradients["query"][~rows].all()


def test_masked_keys_have_no_weight_and_no_gradient():
    (case,) = (c for c in cases_of("attention") if c.label == "a padded key")
    y, probabilities = case.call(case.arguments)
    hidden = ~case.arguments["mask"][:, 0, 0]  # (B, K)
    gradients = case.call_backward(case.cotangent(), case.arguments, (y, probabilities))
    for b, k in np.argwhere(hidden):
        assert not probabilities[b, ..., k].any()
        assert not gradients["key"][b, :, k].any() and not gradients["value"][b, :, k].any()
        changed = {name: case.arguments[name].copy() for name in ("key", "value")}
        changed["key"][b, :, k] = 1e3
        changed["value"][b, :, k] = -1e3
        np.testing.assert_array_equal(case.call({**case.arguments, **changed})[0], y)


def test_relu_has_no_gradient_at_zero():
    y = FORMULAS["relu"](np.array([-1.0, 0.0, 2.0]))
    np.testing.assert_array_equal(FORMULAS["relu_backward"](np.array([3.0, 3.0, 3.0]), y), [0, 0, 3])


def test_ignored_rows_have_no_gradient():
    for case in cases_of("cross_entropy"):
        dlogits = case.call_backward(1.3, case.arguments, case.call(case.arguments))["logits"]
        ignored = case.arguments["labels"] == case.arguments.get("ignore_index", -100)
        assert not dlogits[ignored].any() and dlogits[~ignored].all(axis=-1).sum() == (~ignored).sum()


def test_words_that_are_absent_and_padding_learn_nothing():
    for case in cases_of("embedding"):
        dtable = case.call_backward(case.cotangent(), case.arguments, case.call(case.arguments))["table"]
        learns = np.isin(np.arange(len(dtable)), case.arguments["ids"])
        learns[case.arguments.get("padding_idx", -1)] = False
        assert dtable[learns].all() and not dtable[~learns].any()
