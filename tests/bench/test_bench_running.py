"""The sides at work, on models so small that only the start of the processes takes time."""

import os
from dataclasses import replace

import pytest

from bertnp.bench import running
from bertnp.bench.cases import CASES, Case
from bertnp.bench.measuring import peak_memory, timed
from bertnp.bench.report import case_lines
from bertnp.bench.running import Runner, difference, environment

TINY = {"vocab_size": 1200, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 32}  # fmt: skip


def tiny(name):
    case = next(case for case in CASES if case.name == name)
    count = 100 if case.kind == "tokenizing" else min(case.count, 2)
    return replace(case, config=TINY, batch_size=min(case.batch_size, 3), length=case.length and 12, count=count)


@pytest.fixture(scope="module")
def runner():
    with Runner(threads=1, rounds=1, time=0.01) as runner:
        yield runner
        folder = runner.folder
    assert not folder.exists()


@pytest.mark.parametrize("name", ["training-step", "fine-tuning", "inference-1x16", "sentences"])
def test_both_bodies(runner, name):
    found = runner.measure(tiny(name), ["textbook"])
    ours, textbook = found["sides"]["bertnp"], found["sides"]["textbook"]
    assert len(ours["runs"]) == 1 and len(ours["runs"][0]) >= 3 and 0 < ours["fastest"] <= ours["seconds"]
    assert textbook["ratio"] == pytest.approx(textbook["seconds"] / ours["seconds"])
    assert textbook["difference"] < 1e-5
    assert ours["tokens_per_second"] == pytest.approx(found["tokens"] / ours["seconds"])
    assert 5e6 < ours["peak_bytes"] < 1e9 and ours["versions"]["bertnp"]
    lines = case_lines(found)
    assert len(lines) == 3 and "tokens/s" in lines[1] and "x " in lines[2] and "% of peak" in lines[1]


@pytest.mark.slow
@pytest.mark.oracle
def test_pytorch_does_the_same_work(runner):
    torch = runner.measure(tiny("training-step"), ["torch"])["sides"]["torch"]
    assert torch["difference"] < 1e-4 and torch["ratio"] > 0 and set(torch["versions"]) == {"torch", "transformers"}


@pytest.mark.slow
@pytest.mark.oracle("torch", "transformers", "onnxruntime", "onnx")
def test_pytorch_and_onnx_runtime_infer_the_same(runner):
    sides = runner.measure(tiny("sentences"), ["torch", "onnx"])["sides"]
    for side in ("torch", "onnx"):
        assert sides[side]["difference"] < 1e-4 and sides[side]["ratio"] > 0


@pytest.mark.oracle("tokenizers")
def test_tokenizers_gives_the_same_ids(runner):
    found = runner.measure(tiny("tokenizing"), ["tokenizers", "tokenizers-single"])
    for side in ("tokenizers", "tokenizers-single"):
        assert found["sides"][side]["difference"] == 0
    assert "MB/s" in case_lines(found)[1]


def test_what_can_not_be_measured_is_said(runner, monkeypatch):
    monkeypatch.setitem(running.NEEDS, "torch_peer", ("no_such_package",))
    found = runner.measure(tiny("inference-1x16"), ["torch"])
    assert found["sides"]["torch"]["missing"] == "not installed: no_such_package"
    assert case_lines(found)[2].endswith("not installed: no_such_package")
    with pytest.raises(ChildProcessError, match="ours: ValueError: .*hidden_size"):
        runner.measure(Case("broken", "", "inference", {**TINY, "hidden_size": 15}, 1, 8), [])


def run(seconds, peak=None, memory=1, least=0.5, most=3.0):
    """What a process answers whose steps took so many seconds: their median, and the others as multiples of it."""
    times = [least * seconds, seconds, most * seconds]
    return {"seconds": times, "peak_bytes": memory, "versions": {}, "blas": {}, "check": [1.0],
            "matrix_peak": peak}  # fmt: skip


def test_ratios_and_shares_are_those_of_a_round():
    """The second round finds the machine half as fast, the third has it twice as fast for one side only.

    Within a round, the shortest and the longest step stand at other ratios than the medians.
    """
    found = {
        "bertnp": {"runs": [run(1.0, 40), run(2.0, 20), run(0.5, 40)]},
        "torch": {"runs": [run(seconds, least=0.9, most=1.5) for seconds in (3.0, 6.0, 3.0)]},
    }
    sides = running.summarise(found, {"threads": 1, "tokens": 5, "operations": 30})
    assert sides["torch"]["ratio"] == 3.0 and sides["torch"]["ratio_range"] == [3.0, 6.0]
    assert sides["bertnp"]["share"] == 0.75 and sides["torch"]["share"] == 0.25
    assert sides["bertnp"]["seconds"] == 1.0


def test_ratio_of_memory_is_ours_to_theirs():
    found = {"bertnp": {"runs": [run(1.0, memory=2), run(1.0, memory=3)]}, "torch": {"runs": [run(1.0, memory=12)]}}
    sides = running.summarise(found, {"threads": 1})
    assert sides["bertnp"]["peak_bytes"] == 3 and sides["torch"]["peak_bytes"] == 12
    assert sides["torch"]["memory_ratio"] == 0.25 and "memory_ratio" not in sides["bertnp"]
    found["torch"]["runs"][0]["peak_bytes"] = None  # where a system doesn't say
    assert "memory_ratio" not in running.summarise(found, {"threads": 1})["torch"]


def test_the_sides_take_turns_in_both_orders(monkeypatch):
    """None of them always comes first, or always after the same other."""
    turns = []

    def process(self, module, request):
        if "side" in request:
            turns.append(request["side"])
        return run(1.0)

    monkeypatch.setattr(Runner, "process", process)
    monkeypatch.setattr(Runner, "missing_packages", lambda self, module: [])
    with Runner(threads=1, rounds=3) as runner:
        runner.measure(tiny("inference-1x16"), ["textbook", "torch"])
    assert turns == ["bertnp", "textbook", "torch", "torch", "textbook", "bertnp", "bertnp", "textbook", "torch"]


def test_differing_results_are_shown(runner):
    found = runner.measure(tiny("inference-1x16"), ["textbook"])
    found["sides"]["textbook"]["difference"] = 0.01
    assert "RESULTS DIFFER by 0.01" in case_lines(found)[2]
    assert difference([1.0, 2.0], [1.0, 2.5]) == pytest.approx(0.2)


def test_warming_up_does_not_count():
    calls = []
    assert len(timed(lambda: calls.append(1), warm_up=2, least=3, enough=0)) == 3 and len(calls) == 5


def test_memory_is_this_process_own():
    before = peak_memory()
    block = bytearray(50_000_000)
    block[::4096] = b"x" * len(block[::4096])
    assert peak_memory() >= before and peak_memory() > 50_000_000


def test_every_side_gets_the_same_threads_and_no_choice_of_kernels(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "SkylakeX")
    variables = environment(3)
    assert {variables[f"{name}_NUM_THREADS"] for name in ("OMP", "OPENBLAS", "MKL", "RAYON")} == {"3"}
    assert "OPENBLAS_CORETYPE" not in variables and os.environ["OPENBLAS_CORETYPE"] == "SkylakeX"
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Zen")
    assert environment(3)["OPENBLAS_CORETYPE"] == "Zen"
