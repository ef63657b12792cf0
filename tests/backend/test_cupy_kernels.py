"""Every kernel made for CuPy against its formula: on the GPU that `-m gpu` asks for, and emulated on any computer.

Emulated means: the CUDA code compiled for the processor, see `emulated_cuda`.
"""

import contextlib

import numpy as np
import pytest
from cuda_devices import EMULATED, GPU, by_device, kernels_of, on
from formula_cases import CASES, FORWARD_ONLY, Case, as_tuple, cases_of
from gradients import assert_close
from strict_device import no_float64, nosync

import bertnp.functional as F
from bertnp.backend import FORMULAS, plain_formulas, to_numpy
from bertnp.backend.cupy_kernels.device import ELEMENTWISE, KEPT, small_on_device

KERNELS = {(name, dtype) for name, f in FORMULAS.items() for dtype in f.kernels.get("cupy", (0, ()))[1]}
TOLERANCE = {"float32": 1e-5, "float64": 1e-10, "bfloat16": 2e-2}
# their exponentials and quotients magnify the rounding of single steps, rightly
ILL_CONDITIONED = ("layer_norm-near_constant", "attention-large_logits", "packed_attention-large_logits")
FEW_BITS = ("far out", "large logits", "near constant", "a large eps")  # not for bfloat16


def _large_cases():
    """Rows longer than a block has threads, several blocks, the last one not full, and sizes that divide nothing."""
    rng = np.random.default_rng(6)
    normal = lambda *shape, scale=1.0: rng.normal(size=shape) * scale  # noqa: E731

    def case(formula, label, wrt, arguments):
        return Case(formula, label, arguments, tuple(wrt.split()))

    for rows, n in ((3, 1030), (70, 45)):
        x, weight, bias = normal(rows, n), normal(21, n, scale=0.1), normal(21)
        yield case("product", f"{rows} rows", "x weight", {"x": x, "weight": weight})
        yield case("linear", f"{rows} rows", "x weight bias", {"x": x, "weight": weight, "bias": bias})
        parts = {"x": x, "weight1": weight, "bias1": bias, "weight2": normal(n, 21, scale=0.1)}
        yield case("gelu_feed_forward", f"{rows} rows", "x weight1 bias1 weight2", parts)
        affine = {"weight": 1.5 + 0.5 * normal(n), "bias": normal(n)}
        yield case("layer_norm", f"{rows} rows", "x weight bias", {"x": x * 2 + 0.7, **affine})
        sums = {"x": x, "bias": normal(n), "residual": normal(rows, n)}
        sums |= {"norm_weight": affine["weight"], "norm_bias": affine["bias"]}
        wrt = "x bias residual norm_weight norm_bias"
        yield case("residual_norm", f"{rows} rows", wrt, sums)
        sums |= {"keep": rng.random((rows, n)) >= 0.25, "p": 0.25}
        yield case("residual_norm", f"{rows} rows with dropout", wrt, sums)
        yield case("softmax", f"{rows} rows", "x", {"x": x * 3})
    for lengths in ([5, 1, 40, 3], [9, 9], [1], [131]):
        A, D = 3, 8
        T, B, K = sum(lengths), len(lengths), max(lengths)
        lengths = np.array(lengths)
        rows = {"query": normal(T, A * D), "key": normal(T, A * D), "value": normal(T, A * D)}
        rows |= {"query_lengths": lengths, "lengths": lengths, "heads": A}
        keep = {"keep": rng.random((B, A, K, K)) >= 0.25, "p": 0.25}
        hidden = rng.random((B, 1, K)) < 0.8
        chosen = rng.random((B, K, K)) < 0.6
        chosen[0, 0] = False
        wrt = "query key value"
        yield case("packed_attention", f"{B} of up to {K}", wrt, {**rows, **keep})
        yield case("packed_attention", f"{B} of up to {K}, hidden keys", wrt, {**rows, **keep, "mask": hidden})
        yield case("packed_attention", f"{B} of up to {K}, by query", wrt, {**rows, "mask": chosen})
        first = {"query": rows["query"][:B], "query_lengths": np.ones(B, int)}
        yield case("packed_attention", f"first of {B} of up to {K}", wrt, {**rows, **first})
    some = {"query_lengths": np.array([3, 0, 2]), "lengths": np.array([4, 5, 0]), "heads": 2}
    rows = {"query": normal(5, 6), "key": normal(9, 6), "value": normal(9, 6)}
    yield case("packed_attention", "nothing to ask, nothing to read", "query key value", {**rows, **some})
    labels = rng.integers(0, 9000, 7)
    labels[::3] = -100
    many = {"logits": normal(7, 9000), "labels": labels}
    yield case("cross_entropy", "many classes", "logits", many)
    yield case("cross_entropy", "many classes, smoothed", "logits", {**many, "label_smoothing": 0.1})
    yield case("cross_entropy", "many rows", "logits", {"logits": normal(700, 3), "labels": np.arange(700) % 3})
    yield case("cross_entropy", "no rows", "logits", {"logits": normal(0, 10), "labels": labels[:0]})
    ids = rng.zipf(1.3, 300) % 50
    yield case("embedding", "many", "table", {"ids": ids, "table": normal(50, 40)})
    yield case("embedding", "one id", "table", {"ids": ids * 0 + 3, "table": normal(5, 40)})
    yield case("embedding", "many and padding", "table", {"ids": ids, "table": normal(50, 40), "padding_idx": 1})
    yield case(
        "embedding", "nothing but padding", "table", {"ids": ids[:3] * 0, "table": normal(5, 4), "padding_idx": 0}
    )
    for shape in ((1037,), (3, 0, 2)):
        yield case("gelu", str(shape), "x", {"x": normal(*shape, scale=4.0)})
        yield case("dropout", str(shape), "x", {"x": normal(*shape), "keep": rng.random(shape) >= 0.25, "p": 0.25})
    n = 12_347
    state = {"parameter": normal(n), "gradient": normal(n), "mean": normal(n) * 0.1, "variance": rng.random(n)}
    rates = {"step": 3, "lr": 0.01, "betas": (0.9, 0.98), "eps": 1e-6, "weight_decay": 0.05, "scale": 0.4}
    yield case("adamw", "many", "", {**state, **rates})
    yield case("clip_scale", "many", "", {"gradient": normal(n), "max_norm": 1.0})


LARGE = list(_large_cases())
EVERY = [
    (case, dtype)
    for case in (*CASES, *LARGE)
    for dtype in ("float32", "float64", "bfloat16")
    if (case.formula, dtype) in KERNELS or (f"{case.formula}_backward", dtype) in KERNELS
    if dtype != "bfloat16" or not any(words in case.label for words in FEW_BITS)
]
by_case = pytest.mark.parametrize("case, dtype", EVERY, ids=str)


def kernel_of(name, dtype):
    return FORMULAS[name].kernels["cupy"][0] if (name, dtype) in KERNELS else FORMULAS[name].formula


def signed(name, body):
    """The body with the signature of its formula."""

    def call(*args, **kwargs):
        return body(*args, **kwargs)

    call.__signature__ = FORMULAS[name].signature
    return call


def rounded(case, dtype):
    """The arguments and the cotangent as they are in the type."""
    y = as_tuple(case.call(case.arguments))[0]
    dy = 1.75 if np.ndim(y) == 0 else case.cotangent().astype(dtype)
    return case.arguments_as(lambda x: x.astype(dtype)), dy


def exact(case, dtype):
    """What the textbook gives in double precision for the arguments as they are in the type."""
    arguments, dy = rounded(case, dtype)
    arguments = {k: v.astype(float) if getattr(v, "dtype", None) == dtype else v for k, v in arguments.items()}
    body = FORMULAS[case.formula].formula
    result = body(**arguments)
    if not case.wrt:
        return case.outputs(result), {}
    backward = FORMULAS[f"{case.formula}_backward"].formula
    dy = dy if np.ndim(dy) == 0 else dy.astype(float)
    call = signed(f"{case.formula}_backward", backward)
    return case.outputs(result), case.call_backward(dy, arguments, result, call)


def run(case, dtype, device, ids_on_device=False, bodies=kernel_of):
    """The kernels' results as host arrays."""
    arguments, dy = rounded(case, dtype)
    arguments = {k: on(device, v) if ids_on_device or getattr(v, "dtype", None) == dtype else v
                 for k, v in arguments.items()}  # fmt: skip
    backward = f"{case.formula}_backward"
    with contextlib.ExitStack() as stack:
        if device == EMULATED:
            stack.enter_context(nosync())
            if dtype != "float64":
                stack.enter_context(no_float64())
        result = case.call(arguments, bodies(case.formula, dtype))
        gradients = {}
        if case.wrt:
            gradients = case.call_backward(on(device, dy), arguments, result, signed(backward, bodies(backward, dtype)))
    outputs = {name: to_numpy(value) for name, value in case.outputs(result).items()}
    return outputs, {name: to_numpy(value) for name, value in gradients.items()}


def assert_agree(case, dtype, found, expected, tolerance=None):
    tolerance = tolerance or TOLERANCE[dtype]
    if str(case) in ILL_CONDITIONED:
        tolerance = max(tolerance, 2e-3 if dtype == "float32" else 1e-9)
    for values, exact_values in zip(found, expected, strict=True):
        largest = max((np.abs(value).max(initial=0) for value in exact_values.values()), default=0)
        for name, value in values.items():
            assert value.shape == np.shape(exact_values[name]), f"{case}: {name} has shape {value.shape}"
            if not np.any(exact_values[name]):  # a gradient that is zero by nature: rounding of the others may show
                assert np.abs(value.astype(float)).max(initial=0) <= tolerance * largest, f"{case}, {name}"
            else:
                assert_close(value.astype(float), exact_values[name], tolerance, f"{case}, {name}")


@by_device
@by_case
def test_kernels_are_their_formulas(case, dtype, device):
    """Their numbers, in the inputs' type, and the same bits when run again (the emulated device sees to that)."""
    with kernels_of(device):
        found = run(case, dtype, device)
        again = run(case, dtype, device) if device == GPU else found
    assert_agree(case, dtype, found, exact(case, dtype))
    for values, others in zip(found, again, strict=True):
        for name, value in values.items():
            assert value.dtype == ("float32" if dtype == "bfloat16" else dtype), f"{case}: {name} is {value.dtype}"
            np.testing.assert_array_equal(value, others[name], err_msg=f"{case}, {name}")


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_textbooks_run_on_the_gpu(case, dtype):
    with plain_formulas():
        found = run(case, dtype, GPU, bodies=lambda name, dtype: FORMULAS[name].formula)
    assert_agree(case, dtype, found, exact(case, dtype))


@pytest.mark.gpu
@pytest.mark.parametrize("case, dtype", [pair for pair in EVERY if pair[1] != "bfloat16"], ids=str)
def test_ids_and_masks_may_lie_on_the_gpu(case, dtype):
    assert_agree(case, dtype, run(case, dtype, GPU, ids_on_device=True), exact(case, dtype))


@by_device
def test_strided_and_transposed_inputs(device):
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(10, 3 * 12)).astype(np.float32)
    lengths, dy = np.array([5, 5]), rng.normal(size=(10, 12)).astype(np.float32)
    parts = [wide[:, i * 12 : (i + 1) * 12] for i in range(3)]
    with kernels_of(device):
        there = on(device, wide)
        views = [there[:, i * 12 : (i + 1) * 12] for i in range(3)]
        y = F.packed_attention(*views, lengths, lengths, 3)
        place = on(device, np.full_like(wide, np.nan))
        out = tuple(place[:, i * 12 : (i + 1) * 12] for i in range(3))
        given = F.packed_attention_backward(on(device, dy), *views, lengths, lengths, 3, out=out)
        assert all(a is b for a, b in zip(given, out, strict=True))
        assert_close(to_numpy(y), F.packed_attention.formula(*parts, lengths, lengths, 3), 1e-5, "y")
        expected = F.packed_attention_backward.formula(dy, *parts, lengths, lengths, 3)
        assert_close(to_numpy(place), np.concatenate(expected, axis=1), 1e-5, "gradients in place")
        square = rng.normal(size=(12, 12)).astype(np.float32)
        for x, weight in ((parts[1], square.T), (dy.T[:, :10], square[:10, :10]), (wide[::2, :12], square)):
            product = F.product(on(device, wide)[:, 12:24] if x is parts[1] else on(device, x), on(device, weight))
            assert_close(to_numpy(product), x @ weight.T, 1e-5, "product")


@by_device
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_of_parameters_are_put_in_place(device, dtype):
    rng = np.random.default_rng(0)
    dy, x, weight = (rng.normal(size=size).astype(dtype) for size in ((6, 5), (6, 4), (5, 4)))
    with kernels_of(device):
        out = on(device, np.full_like(weight, np.nan))
        _, dweight, _ = F.linear_backward(on(device, dy), on(device, x), on(device, weight), out)
        assert dweight is out
        assert_close(to_numpy(out), dy.T @ x, 1e-5, "dweight")
        table = on(device, np.ones((9, 5), dtype))
        assert F.embedding_backward(on(device, dy), np.array([1, 1, 8, 0, 1, 0]), table, 0, table) is table
        expected = np.ones((9, 5), dtype)
        np.add.at(expected, [1, 1, 8, 1], dy[[0, 1, 2, 4]])
        assert_close(to_numpy(table), expected, 1e-5, "sums are added to what is there")


@by_device
def test_a_gradient_of_activations_in_bfloat16_is_float32_for_parameters(device):
    rng = np.random.default_rng(0)
    import ml_dtypes

    dy, x, weight = (rng.normal(size=s).astype(ml_dtypes.bfloat16) for s in ((60, 5), (60, 4), (5, 4)))
    with kernels_of(device):
        dx, dweight, dbias = F.linear_backward(on(device, dy.astype(np.float32)), on(device, x), on(device, weight))
        _, x_hat, inv_std = F.layer_norm(on(device, x), on(device, weight[0]), on(device, weight[1]))
        gradients = F.layer_norm_backward(on(device, x), x_hat, inv_std, on(device, weight[0]))
    assert dx.dtype == gradients[0].dtype == x_hat.dtype == ml_dtypes.bfloat16
    assert {a.dtype.name for a in (dweight, dbias, inv_std, *gradients[1:])} == {"float32"}
    exact = dy.astype(float).T @ x.astype(float)
    assert_close(to_numpy(dweight), exact, 1e-6, "summed in float32, not rounded to bfloat16")


@by_device
def test_undefined_numbers_are_passed_on(device):
    lengths = np.array([3])
    x = np.ones((3, 4), np.float32)
    query = x.copy()
    query[1] = np.nan
    with kernels_of(device):
        y = to_numpy(F.packed_attention(on(device, query), on(device, x), on(device, x), lengths, lengths, 2))
        scale, norm = (to_numpy(v) for v in F.clip_scale(on(device, query.reshape(-1)), 1.0))
    assert np.isnan(y[1]).all() and not np.isnan(y[[0, 2]]).any()
    assert np.isnan(scale) and np.isnan(norm)


def test_kernels_cover_what_a_training_step_spends_its_time_in():
    steps = ("linear", "product", "gelu_feed_forward", "residual_norm", "packed_attention", "layer_norm", "dropout",
             "cross_entropy", "softmax", "gelu", "tanh")  # fmt: skip
    for dtype in ("float32", "float64", "bfloat16"):
        for name in steps:
            assert {(name, dtype), (f"{name}_backward", dtype)} <= KERNELS
        assert ("embedding_backward", dtype) in KERNELS
    assert {("adamw", "float32"), ("clip_scale", "float32")} <= KERNELS
    for name, dtype in KERNELS:
        forward = name.removesuffix("_backward")
        assert forward in FORWARD_ONLY or (f"{forward}_backward", dtype) in KERNELS


@pytest.mark.parametrize("name", sorted({name.removesuffix("_backward") for name, _ in KERNELS}))
def test_every_kernel_has_cases(name):
    assert cases_of(name)


def test_small_arrays_are_copied_once_and_found_by_what_is_in_them():
    like = on(EMULATED, np.zeros(1, np.float32))
    lengths = np.array([4, 5, 123_456])
    first = small_on_device(lengths, like, "int32")
    assert small_on_device(lengths.copy(), like, "int32") is first and first.dtype == np.int32
    lengths[0] = 7
    np.testing.assert_array_equal(to_numpy(small_on_device(lengths, like, "int32")), lengths)
    for i in range(KEPT + 1):
        small_on_device(np.array([i, -i]), like, "int32")
    assert small_on_device(np.array([4, 5, 123_456]), like, "int32") is not first, "only so many are kept"


def test_statements_have_names_of_their_own():
    assert all(name == kernel.name for name, kernel in ELEMENTWISE.items()) and len(ELEMENTWISE) > 15
