"""`bertnp pretrain` and `finetune` in several processes: one speaks, all end together, and all can be resumed."""

import json
import os
import re
import signal
import time
from pathlib import Path

import mpi
import numpy as np
import pytest
from test_pretrain import SMALL, ending
from tiny_model import toy_sentences, write_table

from bertnp.cli import main
from bertnp.training.checkpoints import checkpoints
from bertnp.training.trainer import read_log

pytestmark = [
    pytest.mark.oracle("mpi4py"),
    pytest.mark.skipif(os.name != "posix", reason="kills processes as POSIX systems do"),
]
FAILING = Path(__file__).with_name("failing_bertnp.py")
STEPS = 12  # of SMALL
STOPPING = "bertnp: stopping after this step; press Ctrl-C again to stop at once\n"


@pytest.fixture(scope="module")
def together(corpus, tmp_path_factory):
    """A run of two processes that nothing stopped, and what it printed."""
    output = tmp_path_factory.mktemp("runs") / "together"
    code, out, err = mpi.run(2, "-m", "bertnp", "pretrain", corpus, "-o", output, *SMALL)
    assert code == 0, err
    return output, out, err


def losses(folder):
    lines = read_log(folder / "metrics.jsonl")
    return np.array([(line.get("held_out") or line)["loss"] for line in lines])


def test_two_processes_do_what_one_does_and_one_speaks_for_both(corpus, together, tmp_path, capsys):
    folder, out, err = together
    assert main(["pretrain", str(corpus), "-o", str(tmp_path / "alone"), *SMALL]) == 0
    alone = capsys.readouterr().out
    assert err == "" and [line.split()[:2] for line in out.splitlines()] == [
        line.split()[:2] for line in alone.splitlines()
    ]
    np.testing.assert_allclose(losses(folder), losses(tmp_path / "alone"), rtol=1e-6)
    files = {path.relative_to(folder) for path in folder.rglob("*")}
    assert files == {path.relative_to(tmp_path / "alone") for path in (tmp_path / "alone").rglob("*")}


def killed_and_resumed(corpus, together, output, rng):
    """Kill one of two processes anywhere, and resume."""
    place = rng.choice(["train_step", "add_up", "read", "write_checkpoint"])
    rank = 0 if place == "write_checkpoint" else int(rng.integers(2))
    step = int(rng.integers(1, 4 if place == "write_checkpoint" else STEPS + 1))
    options = ("pretrain", corpus, "-o", output, *SMALL, "--quiet")
    code, out, err = mpi.run(2, FAILING, *options, FAIL=f"{rank} {step} {place} kill")
    assert code != 0 and "bertnp: error" not in err and "Traceback" not in err, (place, rank, step, err)
    took = time.time() - float(re.search(r"killed at (.*)", out)[1])
    assert took < 10, (place, rank, step, took)
    code, _, err = mpi.run(2, "-m", "bertnp", *options, "--resume")
    assert code == 0, err
    assert ending(output) == ending(together[0]), (place, rank, step)
    return f"process {rank} killed at {place} {step}: all had ended {took:.1f} s later"


def test_when_one_process_is_killed_all_end_and_go_on_to_the_same_bytes(corpus, together, tmp_path):
    killed_and_resumed(corpus, together, tmp_path / "run", np.random.default_rng(1))  # slow_several.py: ten more


@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_in_one_process_ends_all_in_one_line(corpus, tmp_path, rank):
    options = ("pretrain", corpus, "-o", tmp_path / "run", *SMALL, "--quiet")
    code, _, err = mpi.run(2, FAILING, *options, FAIL=f"{rank} 7 train_step error")
    where = "" if rank == 0 else "in process 1 of 0 to 1: "
    assert code == 2 and err == f"bertnp: error: {where}RuntimeError: something went wrong\n"
    assert [step for step, _ in checkpoints(tmp_path / "run")] == [4]


def test_what_all_processes_refuse_is_told_once(tmp_path):
    code, out, err = mpi.run(2, "-m", "bertnp", "pretrain", "nowhere.txt", "-o", tmp_path / "run")
    assert (code, out, err) == (2, "", "bertnp: error: there is no file or folder nowhere.txt\n")
    assert not (tmp_path / "run").exists()
    code, out, err = mpi.run(2, "-m", "bertnp", "finetune", tmp_path, "--lr", "much")
    assert code == 2 and out == "" and err.startswith("bertnp: error: argument --lr") and err.count("\n") == 1


def test_one_process_that_is_interrupted_stops_all_after_a_step_and_three_go_on(corpus, together, tmp_path):
    options = ("pretrain", corpus, "-o", tmp_path / "run", *SMALL, "--quiet")
    code, out, err = mpi.run(2, FAILING, *options, FAIL="1 6 add_up interrupt")
    assert code == 130 and err == ""  # the other one has no word to say
    (stopped, _), *_ = checkpoints(tmp_path / "run")[::-1]
    assert stopped < STEPS and f"the same command with --resume goes on after step {stopped}" in out
    code, out, err = mpi.run(3, "-m", "bertnp", "pretrain", "--resume", "-o", tmp_path / "run", "--quiet")
    assert code == 0, err
    assert f"resumed after step {stopped} of 12" in err and "processes was 2 and is now 3" in err
    np.testing.assert_allclose(losses(tmp_path / "run"), losses(together[0]), rtol=1e-6)


def test_ctrl_c_at_the_launcher_reaches_all(corpus, together, tmp_path):
    options = ("pretrain", corpus, "-o", tmp_path / "run", *SMALL, "--steps", "100000", "--quiet")
    with mpi.start(2, "-m", "bertnp", *options) as launcher:
        launcher.stdout.readline()  # the first evaluation's line
        launcher.send_signal(signal.SIGINT)
        out, err = launcher.communicate(timeout=mpi.LIMIT)
    assert launcher.returncode == 130 and "goes on after step" in out
    assert STOPPING in err and "Traceback" not in err and "Abort" not in err
    assert json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"))["ended"] == "interrupted"


def test_fine_tuning_in_three_processes(pretrained, tmp_path, capsys):
    table = write_table(tmp_path / "train.tsv", toy_sentences(40))
    options = ["finetune", str(table), "--model", str(pretrained), "--epochs", "2", "--batch-size", "7", "--lr", "1e-3",
               "--seeds", "2", "-o"]  # fmt: skip
    assert main([*options, str(tmp_path / "alone")]) == 0
    alone = capsys.readouterr().out
    code, out, err = mpi.run(3, "-m", "bertnp", *options, tmp_path / "together")
    assert code == 0 and err == ""
    assert [line.split()[:2] for line in out.splitlines()] == [line.split()[:2] for line in alone.splitlines()]
    for seed in ("seed-0", "seed-1"):
        np.testing.assert_allclose(losses(tmp_path / "together" / seed), losses(tmp_path / "alone" / seed), rtol=1e-6)
    assert (tmp_path / "together" / "metrics.json").exists()
    code, out, err = mpi.run(2, "-m", "bertnp", *options, tmp_path / "together", "--resume")
    assert code == 0 and out.count("has finished already") == 2, err
