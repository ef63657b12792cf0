"""Time by formula, growth, and the start of a process."""

import time

import numpy as np
import pytest

import bertnp.functional as F
from bertnp.backend import Formula
from bertnp.bench import growth
from bertnp.bench.breakdown import Clock, breakdown
from bertnp.bench.cold_start import installed_bytes, measure_cold_start, needed, normal
from bertnp.bench.machine import attainable, memory_rate
from bertnp.bench.report import breakdown_lines, cold_start_lines, growth_lines
from bertnp.bench.running import Runner


def test_every_second_counts_once():
    x = np.linspace(-3, 3, 200_000)

    def run():
        F.silu.formula(x)  # which calls sigmoid
        F.relu(x)
        time.sleep(0.05)

    call = Formula.__call__
    found = breakdown(run, steps=2)
    assert Formula.__call__ is call
    seconds = {name: of for name, of, _ in found["formulas"]}
    calls = {name: of for name, _, of in found["formulas"]}
    assert {"silu", "sigmoid", "relu", "outside formulas"} <= set(seconds)
    assert calls["silu"] == calls["sigmoid"] == calls["relu"] == 1
    assert sum(seconds.values()) == pytest.approx(found["seconds"], rel=1e-6)
    assert all(of > 0 for of in seconds.values()) and seconds["outside formulas"] > 0.05
    assert breakdown_lines(found, most=1)[-1].split()[1] == "more"


def test_what_a_formula_calls_is_not_its_own_time(monkeypatch):
    clock, now = Clock(), iter(range(100))
    monkeypatch.setattr("bertnp.bench.breakdown.time.perf_counter", lambda: float(next(now)))
    with clock.running():
        F.silu.formula(np.zeros(3))  # begins at 0; sigmoid from 1 to 2; ends at 3
    assert dict(clock.seconds) == {"silu": 2.0, "sigmoid": 1.0}


def test_an_error_leaves_formulas_as_they_were():
    call = Formula.__call__
    with pytest.raises(ZeroDivisionError):
        breakdown(lambda: 1 / 0)
    assert Formula.__call__ is call


def test_slopes(monkeypatch):
    monkeypatch.setattr(growth, "step_seconds", lambda B, S, L, H, enough: 1e-9 * B * L * S * H**2)
    found = growth.growth()
    assert {letter: of["slope"] for letter, of in found["letters"].items()} == pytest.approx(
        {"B": 1, "S": 1, "L": 1, "H": 2}
    )
    assert found["letters"]["H"]["slopes"] == pytest.approx([2, 2, 2]) and len(growth_lines(found)) == 5


def test_a_step_is_timed():
    assert 0 < growth.step_seconds(B=1, S=4, L=1, H=8, enough=0.0) < 5


def test_what_has_to_be_installed():
    assert normal("Numpy_Extra>=2; python_version > '3'") == "numpy-extra"
    found = needed(("bertnp",))
    assert {"bertnp", "numpy", "scipy", "safetensors", "matplotlib"} <= found and "torch" not in found
    assert needed(("no-such-package",)) == set()
    assert installed_bytes(("numpy",)) > 10e6
    assert installed_bytes(("bertnp",)) > installed_bytes(("numpy",)) + installed_bytes(("scipy",))


def test_first_prediction():
    with Runner(threads=1, rounds=1) as runner:
        found = measure_cold_start(runner, [], quick=True)
    entry = found["bertnp"]
    assert 0 < entry["import"] < 60 and 0 < entry["first_prediction"] < 60 and len(entry["logits"]) == 2
    assert "MB" in cold_start_lines(found)[1]


@pytest.mark.slow
@pytest.mark.oracle("torch", "transformers", "onnxruntime", "onnx", "tokenizers")
def test_all_predict_the_same(monkeypatch):
    monkeypatch.setattr("bertnp.bench.cold_start.import_seconds", lambda *args: 1.0)
    with Runner(threads=1, rounds=0) as runner:
        found = measure_cold_start(runner, ["torch", "onnx"], quick=True)
    for side in ("torch", "onnx"):
        assert found[side]["logits"] == pytest.approx(found["bertnp"]["logits"], abs=1e-5)
        assert found[side]["installed_bytes"] > 1e7


def test_a_copy_reads_and_writes_every_byte(monkeypatch):
    now = iter([0.0, 4.0, 10.0, 12.0])  # the second copy is the faster one
    monkeypatch.setattr("bertnp.bench.machine.time.perf_counter", lambda: next(now))
    assert memory_rate(size=1000, times=2) == 2 * 4000 / 2.0


def test_the_roof_is_memory_first_and_then_arithmetic():
    assert attainable(np.array([0.5, 10.0, 20.0]), peak=100.0, rate=10.0).tolist() == [5.0, 100.0, 100.0]
