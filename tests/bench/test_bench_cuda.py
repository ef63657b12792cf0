"""The benchmark for a GPU, as far as it goes without one: its work on the emulated device, and its table."""

from dataclasses import replace

import numpy as np
import pytest
from emulated_cuda import cuda_kernels
from strict_device import BACKEND

from bertnp.backend import get_backend
from bertnp.bench import cuda, ours
from bertnp.bench.batches import make_batches
from bertnp.bench.cases import TORCH

TINY = {"vocab_size": 1200, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 32}  # fmt: skip


def test_every_size_is_measured_in_every_precision():
    names = [case.name for case in cuda.CUDA_CASES]
    assert len(set(names)) == len(names) == 15 and set(cuda.CUDA_QUICK) <= set(names)
    for name in ("training-8x128-fp32", "training-32x128-tf32", "training-32x512-bf16", "inference-1x128-bf16"):
        assert name in names
    with_goal = [case.name for case in cuda.CUDA_CASES if case.goals]
    assert with_goal == [f"training-32x{S}-{p}" for S in (128, 512) for p in ("fp32", "tf32")]


@pytest.fixture
def request_for(tmp_path, monkeypatch):
    """A request as `running` makes it, for work so small that the emulated device can do it."""
    backends = {"numpy": get_backend("cpu"), "cupy": BACKEND, "strict": BACKEND}
    monkeypatch.setattr("bertnp.backend.arrays._backends", backends)
    monkeypatch.setattr(BACKEND, "synchronize", lambda: None, raising=False)
    monkeypatch.setattr(BACKEND, "held_bytes", lambda: 10**9, raising=False)

    def request_for(name):
        case = next(case for case in cuda.CUDA_CASES if case.name == name)
        case = replace(case, config=TINY, batch_size=2, length=7)
        arrays, *_ = make_batches(case)
        np.savez(tmp_path / "batches.npz", **arrays)
        weights = {"for": case.kind, "config": TINY, "weights": str(tmp_path / "weights")}
        ours.make_weights(weights)
        return {"kind": case.kind, "side": "bertnp", "weights": weights["weights"], "device": "cuda",
                "batches": str(tmp_path / "batches.npz"), "precision": case.precision}  # fmt: skip

    return request_for


@pytest.mark.compiler
@pytest.mark.parametrize("name", ["training-8x128-fp32", "training-8x128-bf16", "inference-1x128-tf32"])
def test_work_is_done_on_the_device_in_the_precision_asked_for(request_for, name):
    request = request_for(name)
    with cuda_kernels() as device:
        run, facts = ours.prepare(request)
        before = sum(device.calls.values())
        run()
        assert sum(device.calls.values()) > before + 10
        assert facts.pop("after")() == {"peak_bytes": 10**9}
        assert device.tf32 == name.endswith("tf32")
    on_host = ours.prepare({**request, "device": "cpu", "precision": "fp32"})[1]
    np.testing.assert_allclose(facts["check"], on_host["check"], rtol=cuda.AGREEMENT[request["precision"]], atol=2e-2)


def test_the_table_and_the_card():
    side = {"seconds": 0.1, "ratio": 1.25, "tokens_per_second": 40_960.0, "operations_per_second": 2e13,
            "launches": 512, "peak_bytes": 9e9}  # fmt: skip
    cases = [
        {"name": "training-32x128-fp32", "precision": "fp32", "goals": {TORCH: 1.0}, "sides": {"bertnp": side,
                                                                                              TORCH: side}},
        {"name": "inference-1x128-bf16", "precision": "bf16", "goals": {},
         "sides": {"bertnp": {**side, "launches": None}, TORCH: {"name": "", "missing": "not installed: torch"}}},
    ]  # fmt: skip
    peaks = {"fp32": 4e13, "tf32": 3e14, "bf16": 6e14}
    lines = cuda.table_lines({"gpu": {"peaks": peaks}, "cases": cases})
    assert len({len(line) for line in lines}) == 1
    assert lines[1].split() == ["training-32x128-fp32", "100.00", "100.00", "1.25", "1.0", "40,960", "50", "%",
                                "512", "/", "512", "9.00", "/", "9.00"]  # fmt: skip
    assert lines[2].split() == ["inference-1x128-bf16", "100.00", "-", "-", "-", "40,960", "3", "%",
                                "-", "/", "-", "9.00", "/", "-"]  # fmt: skip
    gpu = {"card": "NVIDIA H100", "memory": 85e9, "driver": None, "cuda_of_driver": "12.9", "cuda": "12.8",
           "cupy": "14.2.0", "peaks": peaks}  # fmt: skip
    card, products = cuda.gpu_lines(gpu)
    assert "NVIDIA H100, 85 GB" in card and "driver unknown" in card
    assert "float32 40, TF32 300, bfloat16 600" in products


@pytest.mark.gpu
def test_the_card_is_described():
    gpu = cuda.describe_gpu()
    assert gpu["card"] and gpu["memory"] > 1e9 and all(peak > 1e11 for peak in gpu["peaks"].values())
