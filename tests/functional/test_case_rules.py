"""The case list is complete, keeps its own rules, and forwards and backwards fit together."""

import importlib
import inspect
import pkgutil

import numpy as np
import pytest
from formula_cases import CASES, FORWARD_ONLY, SIZES, A, B, D, K, S, cases_of, is_coprime, output_names

import bertnp.functional
from bertnp.backend import FORMULAS, Formula

for module in pkgutil.iter_modules(bertnp.functional.__path__):
    importlib.import_module(f"bertnp.functional.{module.name}")

NAMES = sorted(name for name, f in FORMULAS.items() if f.__module__.startswith("bertnp.functional."))
FORWARDS = [name for name in NAMES if not name.endswith("_backward")]
PAIRS = [name for name in FORWARDS if name not in FORWARD_ONLY]


def test_every_formula_has_a_case():
    assert sorted({case.formula for case in CASES}) == FORWARDS


def test_every_forward_has_a_backward_and_the_other_way_round():
    backwards = [name for name in NAMES if name.endswith("_backward")]
    assert backwards == sorted(f"{name}_backward" for name in PAIRS)
    assert FORWARD_ONLY <= set(FORWARDS)


def test_every_formula_is_public():
    for name in NAMES:
        assert name in bertnp.functional.__all__
        assert isinstance(getattr(bertnp.functional, name), Formula)
    assert bertnp.functional.__all__ == sorted(bertnp.functional.__all__)


@pytest.mark.parametrize("name", PAIRS)
def test_a_backward_takes_the_cotangent_and_names_of_its_forward(name):
    parameters = list(inspect.signature(FORMULAS[f"{name}_backward"].body).parameters)
    forward = inspect.signature(FORMULAS[name].body).parameters
    assert parameters[0] == f"d{output_names(name)[0]}"
    sizes = set(SIZES.get(name, {}))
    assert set(parameters[1:]) <= set(forward) | set(output_names(name)) | sizes | {"out"}
    assert not sizes & set(forward)
    backward = inspect.signature(FORMULAS[f"{name}_backward"].body).parameters
    for shared in set(parameters) & set(forward):
        assert backward[shared].default == forward[shared].default, f"{shared}: two defaults"


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_state_formula_and_shapes(name):
    doc = FORMULAS[name].__doc__
    assert "->" in doc and "=" in doc or "←" in doc or ":" in doc.splitlines()[0]
    shapes = doc[doc.rindex("->") :]
    outputs = output_names(name)
    if name.endswith("_backward"):
        outputs = [f"d{x}" for x in cases_of(name.removesuffix("_backward"))[0].wrt]
    elif name == "adamw":
        outputs = ["θ", "m", "v"]
    for output in outputs:
        assert output in shapes, f"{output} stands not among the outputs: {shapes}"


def test_labels_are_unique():
    assert len({str(case) for case in CASES}) == len(CASES)


def test_sizes_hide_no_mean_and_no_swap():
    assert len({B, S, K, A, D}) == 5
    assert is_coprime(B, S, K, A) and is_coprime(D, S, K, A)


def test_arguments_are_double_precision():
    for case in CASES:
        for name, value in case.arguments.items():
            if isinstance(value, np.ndarray):
                assert value.dtype.name in ("float64", "int64", "bool"), f"{case}: {name} is {value.dtype}"


def test_cotangents_are_no_ones():
    for case in CASES:
        if case.wrt:
            dy = np.asarray(case.cotangent())
            assert np.abs(dy - 1).min() > 1e-4 and (dy.size == 1 or dy.std() > 0.5), str(case)


def test_scale_and_shift_are_not_lazy():
    for case in cases_of("layer_norm"):
        assert np.abs(case.arguments["weight"] - 1).min() > 0.01 and np.abs(case.arguments["bias"]).min() > 0.01
    for case in cases_of("linear"):
        assert np.abs(case.arguments["bias"]).min() > 0.01
    rows = [case.arguments["x"].reshape(-1, D) for case in cases_of("layer_norm")]
    assert any((x.var(axis=1) < 1e-10).any() for x in rows), "no near-constant row"


def test_ids_repeat_and_miss_some():
    for case in cases_of("embedding"):
        counts = np.bincount(case.arguments["ids"].reshape(-1), minlength=len(case.arguments["table"]))
        assert counts.max() >= 2 and counts.min() == 0
        assert case.arguments["ids"].ndim == 1 or 3 in counts
    assert any(case.arguments.get("padding_idx") in case.arguments["ids"] for case in cases_of("embedding"))


def test_masks_hide_a_key_and_a_whole_row():
    for formula in ("masked_softmax", "attention"):
        masks = [case.arguments["mask"] for case in cases_of(formula) if "mask" in case.arguments]
        assert any(m.shape == (B, 1, 1, K) and (~m).sum() == 1 for m in masks)
        assert any((~m).all(axis=-1).any() and m.any() for m in masks)
        assert any("mask" not in case.arguments for case in cases_of(formula))


def test_dropout_drops():
    for case in CASES:
        if "keep" in case.arguments:
            assert case.arguments["p"] == 0.25
            assert 0.1 < (~case.arguments["keep"]).mean() < 0.4


def test_labels_are_few_and_count_for_themselves():
    counts = [(case.arguments["labels"] != -100).sum() for case in cases_of("cross_entropy")]
    assert 3 in counts and 0 in counts and is_coprime(3, B, S)
    assert any(
        case.arguments.get("label_smoothing") and (case.arguments["labels"] >= 0).any()
        for case in CASES
        if case.formula == "cross_entropy"
    )
    assert any(0 in case.arguments["labels"] for case in cases_of("cross_entropy"))


def test_logits_reach_eighty_and_beyond():
    for formula, name in (
        ("softmax", "x"),
        ("masked_softmax", "x"),
        ("cross_entropy", "logits"),
        ("binary_cross_entropy", "logits"),
        ("sigmoid", "x"),
    ):
        values = np.concatenate([case.arguments[name].reshape(-1) for case in cases_of(formula)])
        assert values.max() >= 80 and values.min() <= -80
