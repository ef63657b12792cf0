import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from bertnp.bench import cases

TINY = {"vocab_size": 1200, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 32}  # fmt: skip


@pytest.fixture
def tiny_case(monkeypatch):
    case = next(case for case in cases.CASES if case.name == "inference-1x16")
    monkeypatch.setattr("bertnp.cli.bench.CASES", [replace(case, config=TINY)])


def test_a_table_and_a_record(run, tiny_case, tmp_path):
    code, out, err = run("bench", "inference-1x16", "--against", "textbook", "--rounds", "1", "--time", "0.01",
                         "--threads", "1", "-o", tmp_path / "out")  # fmt: skip
    assert (code, err) == (0, ""), err
    assert "GFLOP/s" in out and "BERT-base inference, 1 × 16 tokens" in out and "textbook bodies" in out
    record = json.loads((tmp_path / "out" / "bench.json").read_text(encoding="utf-8"))
    assert record["machine"]["threads"] == 1 and record["machine"]["processor"] and record["matrix_peak"] > 1e8
    (case,) = record["cases"]
    assert case["name"] == "inference-1x16" and set(case["sides"]) == {"bertnp", "textbook"}


def test_what_is_wrong_is_told_in_one_line(refused, tmp_path):
    assert refused("bench", "traning-step").startswith("there is no case 'traning-step'; there are training-step, ")
    assert "--rounds: expected a whole number of at least 1, got '0'" in refused("bench", "--rounds", "0")
    assert "invalid choice: 'jax'" in refused("bench", "--against", "jax")
    assert "got nothing torch" in refused("bench", "--against", "nothing", "torch")
    (tmp_path / "file").touch()
    assert str(tmp_path / "file") in refused("bench", "-o", tmp_path / "file")


@pytest.mark.skipif(os.name == "nt", reason="a program can't be asked to end there")
def test_told_to_end_it_leaves_nothing_behind(tmp_path):
    program = [sys.executable, "-m", "bertnp", "bench", "inference-1x16", "--against", "nothing"]
    with subprocess.Popen(program, env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE) as process:
        while not list(tmp_path.glob("bertnp-bench-*")):
            assert process.poll() is None
            time.sleep(0.01)
        process.terminate()
        assert process.wait(timeout=60) == 130
    assert list(tmp_path.iterdir()) == []
