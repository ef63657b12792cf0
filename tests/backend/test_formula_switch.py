"""The switch between a formula's textbook body and its kernels."""

import threading

import numpy as np
import pytest
from strict_device import BACKEND as STRICT

import bertnp.functional as F
from bertnp.backend import FORMULAS, Formula, formula, kernel, plain_formulas

x32 = np.array([1.0, 2.0, -3.0], np.float32)
x64 = x32.astype(np.float64)
x_device = STRICT.asarray(x32)
calls = []


@pytest.fixture(autouse=True)
def clean_formulas():
    """Formulas and kernels that a test declares, and bodies it replaces, do not outlast it."""
    names, kernels = set(FORMULAS), {name: dict(f.kernels) for name, f in FORMULAS.items()}
    calls.clear()
    yield
    for f in list(FORMULAS.values()):
        f.restore()
    for name in set(FORMULAS) - names:
        del FORMULAS[name]
    for name, f in FORMULAS.items():
        f.kernels = kernels[name]
    globals().update(inner=None, middle=None, outer=None)
    assert all(f.body is f.textbook for f in FORMULAS.values())


def declare():
    """outer calls middle, which calls inner; each notes that its textbook ran."""
    global inner, middle, outer

    def inner(x):
        """y = 2 x"""
        calls.append("inner")
        return x * 2

    def middle(x, p=0.0):
        """y = 2 x + p"""
        calls.append("middle")
        return inner(x) + p

    def outer(x, p=0.0):
        """y = 2 (2 x + p)"""
        calls.append("outer")
        return middle(x, p) + middle(x, p)

    inner, middle, outer = formula(inner), formula(middle), formula(outer)


def fast(name, backend="numpy", dtypes=("float32", "float64")):
    """Register a kernel that notes that it ran."""

    def with_p(x, p=0.0):
        calls.append(f"fast {name}")
        return x * {"middle": 2, "outer": 4}[name] + p

    def without(x):
        calls.append("fast inner")
        return x * 2

    return kernel(name, backend, dtypes)(without if name == "inner" else with_p)


def ran(f, *args, **kwargs):
    calls.clear()
    f(*args, **kwargs)
    return list(calls)


# the formula itself


def test_a_formula_is_its_textbook_with_name_doc_and_signature():
    declare()
    assert isinstance(inner, Formula) and FORMULAS["inner"] is inner
    assert (inner.__name__, inner.name, inner.__doc__, inner.__module__) == ("inner", "inner", "y = 2 x", __name__)
    assert list(outer.signature.parameters) == ["x", "p"]
    assert repr(outer) == "<formula outer(x, p=0.0)>"
    np.testing.assert_array_equal(outer(x32, p=1), x32 * 4 + 2)


def test_names_are_unique():
    declare()

    def inner(x):
        return x

    with pytest.raises(ValueError, match="there is a formula 'inner' already, in test_formula_switch"):
        formula(inner)

    def gelu(x):
        return x

    with pytest.raises(ValueError, match="'gelu' already, in bertnp.functional.activations"):
        formula(gelu)


# which body runs


def test_kernels_run_for_the_arrays_of_their_backend():
    declare()
    fast("inner", "strict")
    assert ran(inner, x32) == ["inner"]
    assert ran(inner, x_device) == ["fast inner"]
    fast("inner", "numpy")
    assert ran(inner, x32) == ["fast inner"]


def test_each_backend_has_its_own_kernel():
    declare()
    fast("inner", "numpy", ("float32",))

    @kernel("inner", "strict", ("float32",))
    def on_device(x):
        calls.append("device")
        return x * 2

    assert ran(inner, x32) == ["fast inner"] and ran(inner, x_device) == ["device"]


def test_kernels_run_for_the_types_they_take():
    declare()
    fast("middle", dtypes=("float32",))
    assert ran(middle, x32) == ["fast middle"]
    np.testing.assert_array_equal(middle(x32, p=1.0), x32 * 2 + 1)
    assert ran(middle, x64) == ["middle", "inner"]
    assert ran(middle, x32, x64) == ["middle", "inner"], "one array of another type is enough"
    assert ran(middle, x32, p=x64) == ["middle", "inner"], "by keyword too"
    assert ran(middle, x32.astype(complex)) == ["middle", "inner"]
    assert ran(middle, x32, np.arange(3)) == ["fast middle"], "integers and truth values do not count"
    assert ran(middle, x32, 0.5) == ["fast middle"]


def test_formula_is_the_textbook_down_to_the_ground():
    declare()
    for name in ("inner", "middle", "outer"):
        fast(name)
    assert ran(outer, x32) == ["fast outer"]
    assert ran(outer.formula, x32) == ["outer", "middle", "inner", "middle", "inner"]
    assert ran(outer, x32) == ["fast outer"], "and only for that call"


def test_textbooks_call_the_kernels_of_their_parts():
    declare()
    fast("inner")
    assert ran(outer, x32) == ["outer", "middle", "fast inner", "middle", "fast inner"]


def test_plain_formulas():
    declare()
    fast("inner")
    with plain_formulas():
        assert ran(inner, x32) == ["inner"]
        with plain_formulas():
            assert ran(inner, x32) == ["inner"]
        assert ran(inner, x32) == ["inner"], "the inner block ends, the outer one goes on"
    assert ran(inner, x32) == ["fast inner"]
    with pytest.raises(ZeroDivisionError), plain_formulas():
        _ = 1 / 0
    assert ran(inner, x32) == ["fast inner"]


def test_plain_formulas_hold_for_their_own_thread():
    declare()
    fast("inner")
    inside, seen = threading.Event(), []

    def other():
        inside.wait(10)
        seen.extend(ran(inner, x32))

    thread = threading.Thread(target=other)
    thread.start()
    with plain_formulas():
        inside.set()
        thread.join()
    assert seen == ["fast inner"]


def test_errors_of_a_formula_leave_the_kernels_on():
    declare()
    fast("inner")
    with pytest.raises(TypeError):
        inner.formula(x32, "too many")
    assert ran(inner, x32) == ["fast inner"]


# registration


def test_kernels_need_a_formula():
    with pytest.raises(ValueError, match="kernel 'nothing': there is no formula of that name"):
        kernel("nothing", "numpy", ("float32",))(lambda x: x)


@pytest.mark.parametrize(
    "wrong",
    [lambda x: x, lambda x, p: x, lambda x, p=0.1: x, lambda x, q=0.0: x, lambda p=0.0, x=0: x, lambda *args: 0],
)
def test_kernels_have_the_signature_of_their_formula(wrong):
    declare()
    with pytest.raises(ValueError, match=r"kernel 'middle' takes \(.*\), its formula takes \(x, p=0.0\)"):
        kernel("middle", "numpy", ("float32",))(wrong)
    assert middle.kernels == {}


def test_one_kernel_for_each_backend():
    declare()
    first = fast("inner")
    with pytest.raises(ValueError, match="formula 'inner' has a numpy kernel already"):
        fast("inner")
    assert inner.kernels["numpy"][0] is first


# replaced bodies


def test_replaced_bodies_run_in_the_textbook_s_place():
    declare()
    inner.replace(lambda x: x * 10)
    np.testing.assert_array_equal(inner(x32), x32 * 10)
    np.testing.assert_array_equal(outer(x32), x32 * 20)
    assert inner.textbook(x32)[0] == 2 * x32[0]
    inner.restore()
    np.testing.assert_array_equal(outer(x32), x32 * 4)


def test_replacing_switches_off_the_kernels_of_the_formula_and_its_callers():
    declare()
    for name in ("inner", "middle", "outer"):
        fast(name)
    inner.replace(lambda x: x * 10)
    assert ran(outer, x32) == ["outer", "middle", "middle"]
    np.testing.assert_array_equal(outer(x32), x32 * 20)
    inner.restore()
    assert ran(outer, x32) == ["fast outer"] and ran(inner, x32) == ["fast inner"]


def test_kernels_of_what_a_replaced_formula_calls_stay_on():
    declare()
    for name in ("inner", "middle", "outer"):
        fast(name)
    middle.replace(lambda x, p=0.0: inner(x) + p)
    assert ran(outer, x32) == ["outer", "fast inner", "fast inner"]


def test_two_replaced_bodies_are_restored_one_by_one():
    declare()
    for name in ("inner", "middle", "outer"):
        fast(name)
    inner.replace(lambda x: x * 10)
    outer.replace(lambda x, p=0.0: x)
    outer.restore()
    assert ran(outer, x32) == ["outer", "middle", "middle"]
    inner.restore()
    assert ran(outer, x32) == ["fast outer"]


def test_calls_are_found_through_helper_functions_and_modules():
    """attention calls masked_softmax calls softmax; labelled_rows and normal_cdf are helpers, no formulas."""
    assert F.attention.calls() == {F.masked_softmax, F.dropout}
    assert F.masked_softmax.calls() == {F.softmax}
    assert F.cross_entropy.calls() == {F.log_softmax}
    assert F.gelu.calls() == set()

    def through_a_helper(x):
        return _helper(x)

    _helper.__module__ = "bertnp.tests"
    assert formula(through_a_helper).calls() == {F.gelu, F.relu}


def _helper(x):
    return [F.gelu(row) for row in x] + [(lambda row: F.relu(row))(row) for row in x]


def test_replacing_softmax_switches_off_the_kernel_of_attention():
    @kernel("attention", "numpy", ("float64",))
    def attention(query, key, value, mask=None, keep=None, p=0.0):
        raise AssertionError("the kernel ran")

    q = np.ones((1, 1, 2, 4))
    with pytest.raises(AssertionError, match="the kernel ran"):
        F.attention(q, q, q)
    F.softmax.replace(lambda x: x * 0)
    y, probabilities = F.attention(q, q, q)
    assert not y.any() and not probabilities.any()
    F.softmax.restore()
    with pytest.raises(AssertionError, match="the kernel ran"):
        F.attention(q, q, q)
