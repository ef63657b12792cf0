"""Every kernel against its formula: on the formulas' own cases and on large ones, for every type it claims."""

import math

import numpy as np
import pytest
from formula_cases import CASES, FORWARD_ONLY, Case, as_tuple, cases_of
from gradients import assert_close, read_only, strided

import bertnp.functional as F
from bertnp.backend import FORMULAS, gelu_polynomial, get_backend, threads
from bertnp.backend.numpy_kernels import activations, attention_heads, blocks

KERNELS = {(name, dtype) for name, f in FORMULAS.items() for dtype in f.kernels.get("numpy", (0, ()))[1]}
TOLERANCE = {"float32": 3e-6, "float64": 1e-13}
# their exponentials and quotients magnify the rounding of single steps, rightly
ILL_CONDITIONED = ("layer_norm-near_constant", "attention-large_logits", "packed_attention-large_logits")


def _large_cases():
    """Several blocks, the last one not full; more threads than blocks, and fewer; few rows, and many."""
    rng = np.random.default_rng(5)
    normal = lambda *shape, scale=1.0: rng.normal(size=shape) * scale  # noqa: E731

    def case(formula, label, wrt, arguments):
        return Case(formula, label, arguments, tuple(wrt.split()))

    for rows in (20, 700):
        x, weight, bias = normal(rows, 130), normal(210, 130, scale=0.1), normal(210)
        yield case("product", f"{rows} rows", "x weight", {"x": x, "weight": weight})
        yield case("linear", f"{rows} rows", "x weight bias", {"x": x, "weight": weight, "bias": bias})
        parts = {"x": x, "weight1": weight, "bias1": bias, "weight2": normal(130, 210, scale=0.1)}
        yield case("gelu_feed_forward", f"{rows} rows", "x weight1 bias1 weight2", parts)
        affine = {"weight": 1.5 + 0.5 * normal(130), "bias": normal(130)}
        yield case("layer_norm", f"{rows} rows", "x weight bias", {"x": x * 2 + 0.7, **affine})
        sums = {"x": x, "bias": normal(130), "residual": normal(rows, 130)}
        sums |= {"norm_weight": affine["weight"], "norm_bias": affine["bias"]}
        wrt = "x bias residual norm_weight norm_bias"
        yield case("residual_norm", f"{rows} rows", wrt, sums)
        sums |= {"keep": rng.random((rows, 130)) >= 0.25, "p": 0.25}
        yield case("residual_norm", f"{rows} rows with dropout", wrt, sums)
    for shape in ((blocks.BLOCK * 2 + 13,), (2, 3, 4097), (3, 0, 2)):
        for name in ("gelu", "relu"):
            yield case(name, str(shape), "x", {"x": normal(*shape, scale=4.0)})
        yield case("dropout", str(shape), "x", {"x": normal(*shape), "keep": rng.random(shape) >= 0.25, "p": 0.25})
    for lengths in ([5, 1, 40, 260], [128, 128], [1]):
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
    labels = rng.integers(0, 1000, 70)
    labels[::3] = -100
    yield case("cross_entropy", "many classes", "logits", {"logits": normal(70, 1000), "labels": labels})
    yield case("cross_entropy", "no rows", "logits", {"logits": normal(0, 10), "labels": labels[:0]})
    ids = rng.zipf(1.3, 3000) % 500
    yield case("embedding", "many", "table", {"ids": ids, "table": normal(500, 40)})
    yield case("embedding", "many and padding", "table", {"ids": ids, "table": normal(500, 40), "padding_idx": 1})
    yield case(
        "embedding", "nothing but padding", "table", {"ids": ids[:3] * 0, "table": normal(5, 4), "padding_idx": 0}
    )
    index = rng.permutation(900)[:500]
    yield case("gather_rows", "many", "x", {"x": normal(900, 70), "index": index})
    yield case("scatter_rows", "many", "x", {"x": normal(500, 70), "index": index, "n": 900})
    n = 2 * blocks.BLOCK + 77
    state = {"parameter": normal(n), "gradient": normal(n), "mean": normal(n) * 0.1, "variance": rng.random(n)}
    rates = {"step": 3, "lr": 0.01, "betas": (0.9, 0.98), "eps": 1e-6, "weight_decay": 0.05, "scale": 0.4}
    yield case("adamw", "many", "", {**state, **rates})
    yield case("clip_scale", "many", "", {"gradient": normal(n), "max_norm": 1.0})
    yield case("clip_scale", "a few lines", "", {"gradient": normal(3 * 8192), "max_norm": 1.0})


LARGE = list(_large_cases())
EVERY = [
    (case, dtype)
    for case in (*CASES, *LARGE)
    for dtype in ("float32", "float64")
    if (case.formula, dtype) in KERNELS or (f"{case.formula}_backward", dtype) in KERNELS
]
BLOCK, WORTH_SHARING = 1 << 13, 1 << 12  # so that cases of some thousand elements make several blocks


@pytest.fixture(autouse=True)
def small_blocks(request, monkeypatch):
    """Large cases are large beside these blocks; the formulas' own cases fit into one of the usual size."""
    if "case" in request.fixturenames and request.getfixturevalue("case") in LARGE:
        monkeypatch.setattr(blocks, "BLOCK", BLOCK)
        monkeypatch.setattr(blocks, "WORTH_SHARING", WORTH_SHARING)


by_case = pytest.mark.parametrize("case, dtype", EVERY, ids=str)


def textbook(name):
    """The formula without kernels."""

    def call(*args, **kwargs):
        return FORMULAS[name].formula(*args, **kwargs)

    call.__signature__ = FORMULAS[name].signature
    return call


def kernel_of(name, dtype):
    return FORMULAS[name].kernels["numpy"][0] if (name, dtype) in KERNELS else textbook(name)


def in_type(case, dtype):
    return case.arguments_as(lambda x: x.astype(dtype))


def cotangent(case, dtype):
    y = as_tuple(case.call(in_type(case, dtype)))[0]
    return np.float64(1.7).astype(dtype).item() if np.ndim(y) == 0 else case.cotangent(dtype)


def exact(case, dtype):
    """What the textbook gives in double precision for the arguments as they are in the type."""
    arguments = case.arguments_as(lambda x: x.astype(dtype).astype(np.float64))
    result = case.call(arguments, textbook(case.formula))
    outputs = case.outputs(result)
    if not case.wrt:
        return outputs, {}
    dy = np.float64(cotangent(case, dtype))
    return outputs, case.call_backward(dy, arguments, result, textbook(f"{case.formula}_backward"))


def run(case, dtype, forward, backward, convert=lambda x: x):
    arguments = {name: convert(value) for name, value in in_type(case, dtype).items()}
    result = case.call(arguments, forward)
    gradients = {}
    if case.wrt:
        gradients = case.call_backward(convert(cotangent(case, dtype)), arguments, result, backward)
    return case.outputs(result), gradients


def bodies(case, dtype):
    """The forward and the backward of a case's formula, as kernels."""
    return kernel_of(case.formula, dtype), kernel_of(f"{case.formula}_backward", dtype) if case.wrt else None


def assert_agree(case, dtype, found, expected, tolerance=None):
    if str(case) in ILL_CONDITIONED:
        tolerance = max(2e-3 if dtype == "float32" else 1e-9, tolerance or 0)
    tolerance = tolerance or TOLERANCE[dtype]
    for values, exact_values in zip(found, expected, strict=True):
        largest = max((np.abs(value).max(initial=0) for value in exact_values.values()), default=0)
        for name, value in values.items():
            assert value.dtype == dtype or np.ndim(value) == 0, f"{case}: {name} is {value.dtype}"
            assert value.shape == exact_values[name].shape
            if not np.any(exact_values[name]):  # a gradient that is zero by nature: rounding of the others may show
                assert np.abs(value).max(initial=0) <= tolerance * largest, f"{case}, {name}"
            else:
                assert_close(value, exact_values[name], tolerance, f"{case}, {name}")


def test_kernels_cover_what_a_training_step_spends_its_time_in():
    """Forwards and backwards; each pair is registered as a whole, for the same types."""
    steps = (
        "linear",
        "gelu_feed_forward",
        "residual_norm",
        "packed_attention",
        "layer_norm",
        "cross_entropy",
        "embedding",
    )
    for name in steps:
        assert (name, "float32") in KERNELS
    assert {("adamw", "float32"), ("clip_scale", "float32")} <= KERNELS
    for name, dtype in KERNELS:
        forward = name.removesuffix("_backward")
        assert forward in FORWARD_ONLY or {(forward, dtype), (f"{forward}_backward", dtype)} <= KERNELS


@pytest.mark.parametrize("name", sorted({name.removesuffix("_backward") for name, _ in KERNELS}))
def test_every_kernel_has_cases_small_and_large(name):
    assert cases_of(name) and any(case.formula == name for case in LARGE)


@by_case
def test_kernels_are_their_formulas(case, dtype):
    assert_agree(case, dtype, run(case, dtype, *bodies(case, dtype)), exact(case, dtype))


@by_case
def test_any_forward_goes_with_any_backward(case, dtype):
    if case.wrt:
        forward, backward = bodies(case, dtype)
        expected = exact(case, dtype)
        assert_agree(case, dtype, run(case, dtype, forward, textbook(f"{case.formula}_backward")), expected)
        assert_agree(case, dtype, run(case, dtype, textbook(case.formula), backward), expected)


@by_case
def test_inputs_are_untouched_and_memory_order_does_not_count(case, dtype):
    kernels = bodies(case, dtype)
    expected = exact(case, dtype)
    for convert in (read_only, strided, lambda x: np.asfortranarray(x) if isinstance(x, np.ndarray) else x):
        assert_agree(case, dtype, run(case, dtype, *kernels, convert=convert), expected)


@by_case
def test_results_do_not_depend_on_the_number_of_threads(case, dtype):
    before = threads.get_threads()
    results = []
    try:
        for count in (1, 2, 5):
            threads.set_threads(count)
            results.append(run(case, dtype, *bodies(case, dtype)))
    finally:
        threads.set_threads(before)
    for other in results[1:]:
        for values, first in zip(other, results[0], strict=True):
            for name, value in values.items():
                np.testing.assert_array_equal(value, first[name], err_msg=f"{case}, {name}")


@by_case
def test_results_stay_as_they_are(case, dtype):
    """What a kernel gave is not overwritten by the next one, though memory is used again."""
    kernels = bodies(case, dtype)
    first = run(case, dtype, *kernels)
    kept = [{name: value.copy() for name, value in values.items()} for values in first]
    for _ in range(3):
        run(case, dtype, *kernels, convert=lambda x: x * 0 if getattr(x, "dtype", None) == dtype else x)
    for values, copies in zip(first, kept, strict=True):
        for name, value in values.items():
            np.testing.assert_array_equal(value, copies[name])


WITH_OUT = [name for name, f in FORMULAS.items() if "out" in f.signature.parameters]


@pytest.mark.parametrize("body, dtype", [("textbook", "float64"), ("kernel", "float64"), ("kernel", "float32")])
@pytest.mark.parametrize("name", WITH_OUT)
def test_results_are_put_where_they_are_wanted(name, body, dtype):
    """`out` takes the gradients of the weights, those of the inputs of attention, and what the optimiser makes."""
    function = FORMULAS[name].formula if body == "textbook" else FORMULAS[name]
    for case in cases_of(name.removesuffix("_backward")):
        arguments = in_type(case, dtype)
        result = case.call(arguments)
        if name == "adamw":
            wanted = [x.copy() for x in result]
            out = tuple(arguments[x].copy() for x in ("parameter", "mean", "variance"))
            inputs = dict(zip(("parameter", "mean", "variance"), out, strict=True))
            given = function(**{**arguments, **inputs}, out=out)
        else:
            dy = cotangent(case, dtype)
            gradients = case.call_backward(dy, arguments, result)
            names = {"packed_attention_backward": case.wrt, "gelu_feed_forward_backward": ("weight1", "weight2")}
            names = names.get(name, ("table",) if name == "embedding_backward" else ("weight",))
            wanted = [gradients[n] for n in names]
            out = tuple(np.zeros_like(arguments[n]) if name == "embedding_backward"
                        else np.full_like(arguments[n], np.nan) for n in names)  # fmt: skip
            with_out = lambda dy, out=out, **known: function(dy, out=out if len(out) > 1 else out[0], **known)  # noqa: E731
            with_out.__signature__ = FORMULAS[name].signature
            given = case.call_backward(dy, arguments, result, with_out)
            given = [given[n] for n in names]
        for place, value, expected in zip(out, given, wanted, strict=True):
            assert value is place
            assert_close(place, expected, 1e-13, f"{case}, out")


def test_sums_are_added_to_what_is_there():
    """An id that comes twice, one that is the padding's, and one that comes once."""
    ids, table, dy = np.array([1, 1, 2, 3]), np.zeros((5, 3)), np.ones((4, 3))
    for function in (F.embedding_backward, F.embedding_backward.formula):
        out = np.full((5, 3), 10.0)
        function(dy, ids, table, 2, out)
        np.testing.assert_array_equal(out, np.array([10, 12, 10, 11, 10])[:, None] * np.ones(3))


@pytest.mark.parametrize("name", ["embedding", "gather_rows", "scatter_rows_backward"])
def test_row_numbers_mean_what_they_mean_to_numpy(name):
    """Negative ones count from the end; those outside the table are refused, and named."""
    table = np.arange(12, dtype=np.float32).reshape(4, 3)
    look_up = kernel_of(name, "float32")

    def rows(numbers):
        numbers = np.array(numbers)
        return look_up(numbers, table) if name == "embedding" else look_up(table, numbers)

    np.testing.assert_array_equal(rows([-1, 3, -4]), table[[3, 3, 0]])
    for outside in (4, -5):
        with pytest.raises(IndexError, match=f"index {outside} is out of bounds"):
            rows([1, outside])


# GELU


def test_kernel_takes_extremes():
    big = np.array([[-np.inf, -1e30, -80, -13, -1e-30, -0.0], [0.0, 1e-30, 5.5, 13, 80, 1e18]], np.float32)[:, ::-1]
    for x in (big[:, 1:], big.T):
        for name, inputs in (("gelu", (x,)), ("gelu_backward", (np.ones_like(x), x))):
            with np.errstate(all="ignore"):
                fast, expected = kernel_of(name, "float32")(*inputs), FORMULAS[name].formula(*inputs)
            finite = np.isfinite(expected)
            assert (np.isfinite(fast) == finite).all()
            np.testing.assert_allclose(fast[finite], expected[finite], rtol=1e-6, atol=1e-5)


def test_kernel_runs_for_its_type_only():
    x, host = np.linspace(-3, 3, 7), get_backend("numpy")
    assert F.gelu.kernel_for(host, (x,), {}) is None
    assert F.gelu.kernel_for(host, (x.astype(np.float32),), {}) is activations.gelu


def test_polynomial_is_the_fit():
    coefficients, error = gelu_polynomial.fit(rounds=60)
    assert error < 6.5e-8
    x = np.linspace(-40, 40, 200_001)
    stored, fitted = (np.polynomial.Polynomial(c) for c in (gelu_polynomial.COEFFICIENTS, coefficients))
    np.testing.assert_allclose(np.tanh(x * stored(x * x)), np.tanh(x * fitted(x * x)), rtol=0, atol=1.5e-7)
    phi = FORMULAS["gelu"].formula(x) / np.where(x == 0, 1, x)
    near = x != 0
    assert np.abs((1 + np.tanh(x * stored(x * x))) / 2 - phi)[near].max() < 3e-8


def test_error_of_the_kernels_erf():
    """2 Φ(x) - 1 = erf(x/√2): the polynomial's own error, and the rounding that float32 adds."""
    x = np.linspace(-9, 9, 18_001)
    for dtype, allowed in (("float64", 5.8e-8), ("float32", 5e-7)):
        inputs = x.astype(dtype)
        twice, square = np.empty_like(inputs), np.empty_like(inputs)
        activations.twice_cdf(inputs, square, twice)
        erf = np.array([math.erf(value / math.sqrt(2)) for value in inputs.tolist()])
        assert np.abs(twice - (1 + erf)).max() < allowed, dtype


# attention


def test_small_products_are_products(monkeypatch):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 37, 11)), rng.normal(size=(3, 11, 13))
    for limit in (1, 11 * 13 * 5, 1 << 18):
        monkeypatch.setattr(attention_heads, "ONE_THREAD", limit)
        out = np.full((3, 37, 13), np.nan)
        attention_heads.small_products(a, b, out)
        np.testing.assert_allclose(out, a @ b, rtol=1e-13)


def test_products_are_small_enough_for_the_calling_thread(monkeypatch):
    """Threads that each ask BLAS for threads would be too many. Heads of BERT's size, long and short sequences."""
    matmul, matrices, vectors = np.matmul, [], []

    def recorded(a, b, **options):
        size = a.shape[-2] * a.shape[-1] * (b.shape[-1] if b.ndim > 1 else 1)
        (matrices if b.ndim > 1 else vectors).append(size)
        return matmul(a, b, **options)

    monkeypatch.setattr(np, "matmul", recorded)
    rng = np.random.default_rng(0)
    for length in (16, 128, 512):
        lengths = np.array([length])
        query, key, value, dy = (rng.normal(size=(length, 128)).astype(np.float32) for _ in range(4))
        attention_heads.packed_attention(query, key, value, lengths, lengths, 2)
        attention_heads.packed_attention_backward(dy, query, key, value, lengths, lengths, 2)
    assert max(matrices) <= attention_heads.ONE_THREAD and max(vectors) <= attention_heads.ONE_THREAD_VECTOR


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_many_short_sequences_are_padded_and_done_together(monkeypatch, dtype):
    rng = np.random.default_rng(3)
    lengths = rng.integers(1, 6, attention_heads.MANY_SHORT[0])
    query, key, value, dy = (rng.normal(size=(lengths.sum(), 6)).astype(dtype) for _ in range(4))
    at = lengths, lengths, 2
    more = {"mask": rng.random((len(lengths), 1, lengths.max())) < 0.7, "p": 0.25}
    more["keep"] = rng.random((len(lengths), 2, lengths.max(), lengths.max())) >= 0.25

    def both(out=None):
        y = F.packed_attention(query, key, value, *at, **more)
        return y, *F.packed_attention_backward(dy, query, key, value, *at, **more, out=out)

    assert attention_heads.are_many_and_short(*at)
    spaces = tuple(np.full_like(query, np.nan) for _ in range(3))
    padded = both(spaces)
    assert all(a is b for a, b in zip(padded[1:], spaces, strict=True))
    monkeypatch.setattr(attention_heads, "MANY_SHORT", (len(lengths) + 1, 1 << 14))
    for name, a, b in zip(("y", "dquery", "dkey", "dvalue"), padded, both(), strict=True):
        assert_close(a, b, TOLERANCE[dtype], name)


@pytest.mark.parametrize("size", [1.0, 3.0, 30.0, 1000.0])
def test_scores_of_any_size(size):
    """Small ones take no maximum, large ones do; infinite and undefined ones stay what they are."""
    rng = np.random.default_rng(1)
    lengths = np.array([6, 4])
    query, key, value = (rng.normal(size=(10, 8)).astype(np.float32) for _ in range(3))
    found = F.packed_attention(query * np.float32(size), key, value, lengths, lengths, 2)
    expected = F.packed_attention.formula(query.astype(float) * size, key.astype(float), value, lengths, lengths, 2)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * max(1, size / 30))


@pytest.mark.parametrize("by_query", [False, True])
def test_large_scores_of_hidden_keys_do_not_count(by_query):
    """Where a maximum is taken, it is one of the keys that may be read: all their shares would vanish else."""
    rng = np.random.default_rng(0)
    lengths = np.array([6, 4])
    query, key, value = (rng.normal(size=(10, 8)).astype(np.float32) for _ in range(3))
    query *= 30
    key[2] *= 300
    mask = np.ones((2, 6 if by_query else 1, 6), bool)
    mask[0, :, 2] = False
    found = F.packed_attention(query, key, value, lengths, lengths, 2, mask)
    exactly = F.packed_attention.formula(*(x.astype(float) for x in (query, key, value)), lengths, lengths, 2, mask)
    np.testing.assert_allclose(found, exactly, rtol=0, atol=1e-4)


def test_undefined_numbers_are_passed_on():
    lengths = np.array([3])
    x = np.ones((3, 4), np.float32)
    query = x.copy()
    query[1] = np.nan
    y = F.packed_attention(query, x, x, lengths, lengths, 2)
    assert np.isnan(y[1]).all() and not np.isnan(y[[0, 2]]).any()
