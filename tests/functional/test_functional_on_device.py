"""Every formula on the strict device: NumPy's numbers bit for bit, without waiting, in the inputs' own precision."""

import contextlib

import numpy as np
import pytest
from formula_cases import CASES, output_names
from strict_device import BACKEND, no_float64, nosync

from bertnp.backend import FORMULAS, as_array, is_array, plain_formulas


def on_device(value):
    return BACKEND.asarray(value) if is_array(value) else value


def assert_same_bits(actual, expected, what):
    assert isinstance(actual, BACKEND.array_type), f"{what} is a {type(actual).__name__}, not on the device"
    assert actual.dtype == expected.dtype and actual.shape == np.shape(expected), what
    np.testing.assert_array_equal(actual.get(), expected, err_msg=what, strict=False)


def compare(case, dtype, arguments, dy, wait):
    """Run a case on the device with these arguments and on the host with its own, and compare the bits."""
    with contextlib.ExitStack() as stack:
        if dtype == "float32":
            stack.enter_context(no_float64())
        if not wait:
            stack.enter_context(nosync())
        result = case.call(arguments)
        gradients = case.call_backward(dy, arguments, result) if case.wrt else {}
    host = case.arguments_as(lambda x: x.astype(dtype))
    expected = case.call(host)
    for name, value in case.outputs(expected).items():
        assert_same_bits(case.outputs(result)[name], value, f"{case}, {name}")
    if case.wrt:
        for name, gradient in case.call_backward(case.cotangent(dtype), host, expected).items():
            assert_same_bits(gradients[name], gradient, f"{case}, d{name}")


@pytest.fixture(autouse=True)
def textbook():
    """Kernels of one backend may differ from the textbook in the last bits: the textbooks are compared."""
    with plain_formulas():
        yield


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_same_bits_as_numpy_without_waiting(case, dtype):
    """Floats on the device; ids, labels and masks come from the host."""
    arguments = case.arguments_as(lambda x: on_device(x.astype(dtype)))
    compare(case, dtype, arguments, on_device(case.cotangent(dtype)), wait=False)


@pytest.mark.parametrize("case", [c for c in CASES if any(is_array(v) for v in c.arguments.values())], ids=str)
def test_ids_and_masks_may_lie_on_the_device(case):
    """Masks and ids on the device too; labels, lengths and positions there make the host wait, which counts by them."""
    arguments = {k: on_device(v) for k, v in case.arguments_as(lambda x: x.astype("float32")).items()}
    waits = {"labels", "lengths", "positions"} & set(arguments)
    compare(case, "float32", arguments, on_device(case.cotangent("float32")), wait=waits)


@pytest.mark.parametrize("case", [c for c in CASES if output_names(c.formula)[0] == "loss"], ids=str)
def test_the_gradient_of_a_loss_may_lie_on_the_device(case):
    arguments = case.arguments_as(on_device)
    dloss = on_device(np.asarray(case.cotangent()))
    compare(case, "float64", arguments, dloss, wait=False)


def test_host_floats_beside_device_floats_are_refused():
    """Only ids, labels and masks may stay on the host."""
    tried = 0
    for case in CASES:
        arguments = case.arguments_as(on_device)
        for name, value in case.arguments.items():
            if is_array(value) and value.dtype.kind == "f" and len(case.wrt) > 1:
                with pytest.raises(
                    TypeError, match="arrays of two devices in one call: (strict and numpy|numpy and strict)"
                ):
                    case.call({**arguments, name: value})
                tried += 1
    assert tried > 10


def test_kernels_of_the_host_do_not_run_for_device_arrays():
    x = on_device(np.array([1.0, -2.0], np.float32))
    assert all(f.kernel_for(BACKEND, (x,), {}) is None for f in FORMULAS.values())
    assert isinstance(as_array([1, 2], like=x), BACKEND.array_type)
