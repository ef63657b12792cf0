"""Every formula of the library is checked, on every device, and the cases keep the rules they are made by."""

import importlib
import math
import pkgutil
import time

import numpy as np
import pytest

import bertnp.functional
from bertnp.backend import FORMULAS, to_numpy
from bertnp.functional import attention, attention_backward, masked_softmax_backward
from bertnp.gradcheck import check_formula
from bertnp.gradcheck.cases import CASES, SIZES, A, B, C, D, H, K, M, N, S, V, cases, has_backward, on_device

for module in pkgutil.iter_modules(bertnp.functional.__path__):
    importlib.import_module(f"bertnp.functional.{module.name}")

PAIRS = [name for name in CASES if has_backward(name)]


@pytest.mark.parametrize("name", PAIRS)
def test_formulas(name, device):
    report = check_formula(name, device=device)
    assert report.ok, report.text
    assert {row.case for row in report.rows} == {case.label for case in cases(name)}


@pytest.mark.parametrize("name", PAIRS)
def test_all_elements_to_eight_digits(name):
    report = check_formula(name, seed=3, max_coords=10**6, directional=0).raise_if_failed()
    for row in report.rows:
        assert row.checked == row.size
        if row.verdict == "ok":
            assert row.error <= 1e-8 * row.largest, row


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("method", ["5point", "complex"])
def test_other_methods(name, method):
    report = check_formula(name, method=method, seed=4, max_coords=16).raise_if_failed()
    limit = {"5point": 1e-8, "complex": 1e-11}[method]
    for row in report.rows:
        if row.verdict == "ok" and row.case != "almost constant":
            assert row.error <= limit * row.largest, row


@pytest.mark.parametrize("name", PAIRS)
def test_single_precision(name):
    report = check_formula(name, dtype=np.float32, seed=5, max_coords=16)
    assert report.ok, report.text
    assert "float32 code" in report.text


def test_all_formulas_within_two_seconds():
    check_formula("gelu")  # scipy is loaded
    start = time.process_time()
    for name in PAIRS:
        check_formula(name).raise_if_failed()
    assert time.process_time() - start < 2.0


# the cases


def test_every_pair_of_the_library_has_cases():
    in_library = {n for n, f in FORMULAS.items() if f.__module__.startswith("bertnp.functional.")}
    pairs = {n for n in in_library if f"{n}_backward" in in_library}
    assert pairs <= set(PAIRS) and in_library == pairs | {f"{n}_backward" for n in pairs} | {"adamw", "clip_scale"}
    assert {"adamw", "clip_scale"} <= set(CASES)


def test_sizes_hide_nothing():
    assert len({B, S, K, A, D}) == 5
    for sizes in ((B, S, K, A, D), (B, S, H, M), (B * S, C, N), (V, H)):
        assert all(math.gcd(a, b) == 1 for i, a in enumerate(sizes) for b in sizes[i + 1 :])


@pytest.mark.parametrize("seed", range(10))
def test_case_rules(seed):
    for case in cases("layer_norm", seed):
        weight, bias = case.arguments["weight"], case.arguments["bias"]
        assert np.abs(weight - 1).min() > 0.0 and np.abs(weight - 1).max() > 0.1 and np.abs(bias).min() >= 0.1
    flat = cases("layer_norm", seed)[-1]
    assert flat.complex_only and np.allclose(flat.arguments["x"].var(axis=-1), 1e-10, rtol=1e-3)
    for name in ("embedding", "tied_table"):
        for case in cases(name, seed):
            counts = np.bincount(case.arguments["ids"].reshape(-1), minlength=V)
            assert sorted(counts)[-2:] == [3, 3] and 2 in counts and (counts == 0).sum() >= 3
    for name in ("masked_softmax", "attention"):
        masks = [case.arguments.get("mask") for case in cases(name, seed)]
        assert any(m is not None and m.shape == (B, 1, 1, K) and (~m).sum() == 1 for m in masks)
        assert any(m is not None and (~m).all(axis=-1).any() and m.any() for m in masks)
        assert any(m is None for m in masks)
    for name in ("dropout", "attention"):
        assert any(case.arguments.get("p") == 0.25 and not case.arguments["keep"].all() for case in cases(name, seed))
    few = cases("cross_entropy", seed)[0].arguments["labels"]
    assert (few >= 0).sum() == N and 0 in few
    assert any("label_smoothing" in case.arguments for case in cases("cross_entropy", seed))
    for name in ("gather_rows", "scatter_rows"):
        index = cases(name, seed)[0].arguments["index"]
        assert (np.diff(index) < 0).any() and len(set(index)) == len(index)
    for name in ("softmax", "log_softmax", "masked_softmax"):
        assert np.abs(cases(name, seed)[-1].arguments["x"]).max() > 710  # exp overflows
    scores = cases("attention", seed)[-1].arguments
    assert np.abs(scores["query"] @ scores["key"].swapaxes(-1, -2) / math.sqrt(D)).max() > 80


def test_cases_are_drawn_anew_and_alike():
    one, same, other = (cases("softmax", seed)[0].arguments["x"] for seed in (1, 1, 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_sizes_are_what_no_forward_gives():
    assert set(SIZES) <= set(CASES)


# rows that may read nothing


def test_a_row_without_keys_has_no_gradient(device):
    case = next(case for case in cases("attention") if case.label == "a row without keys")
    arguments = on_device(case.arguments, device)
    y, probabilities = attention(**arguments)
    dy = on_device({"dy": np.random.default_rng(0).normal(size=(B, A, S, D))}, device)["dy"]
    q, k, v = (arguments[name] for name in ("query", "key", "value"))
    dquery, dkey, dvalue = (to_numpy(d) for d in attention_backward(dy, q, k, v, probabilities))
    assert not to_numpy(y)[1, :, 2].any() and not dquery[1, :, 2].any() and dquery[1, :, 1].any()
    for d in (dkey, dvalue):
        assert np.isfinite(d).all()

    def without_the_row(d):
        d = to_numpy(d).copy()
        d[1, :, 2] = 7.0  # nothing arrives from there, whatever it is
        return on_device({"d": d}, device)["d"]

    again = attention_backward(without_the_row(dy), q, k, v, probabilities)
    assert np.array_equal(to_numpy(again[1]), dkey) and np.array_equal(to_numpy(again[2]), dvalue)
    dscores = to_numpy(masked_softmax_backward(without_the_row(probabilities), probabilities))
    assert not dscores[1, :, 2].any()


# arguments


@pytest.mark.parametrize("call, words", [
    (lambda: check_formula("sotfmax"), "there is no formula 'sotfmax'; known: linear"),
    (lambda: check_formula("adamw"), "there is nothing to check"),
    (lambda: check_formula("adamw", backward=lambda g: g), "adamw has no backward"),
])  # fmt: skip
def test_wrong_arguments(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_own_functions_with_names_of_their_own():
    def my_softmax(z):
        e = np.exp(z - z.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    def my_backward(upstream, out):
        return out * (upstream - (upstream * out).sum(axis=-1, keepdims=True))

    assert check_formula("softmax", backward=my_backward).ok
    report = check_formula("softmax", forward=lambda x: my_softmax(x), backward=my_backward, method="5point")
    assert report.ok, report.text
    assert check_formula("clip_scale", forward=bertnp.functional.clip_scale).ok


def test_wrong_number_of_gradients():
    report = check_formula("linear", backward=lambda dy, x, weight: dy @ weight)
    assert not report.ok and "returned 1 values, expected 3: dx, dweight, dbias" in report.sentence


def test_unknown_forward_errors_are_located():
    report = check_formula("softmax", forward=lambda x: 1.001 * bertnp.functional.softmax(x))
    assert report.stage == "forward" and report.mistake is None and "y is not the formula's" in report.sentence
    report = check_formula("softmax", forward=lambda x: None / x)
    assert "TypeError" in report.sentence
