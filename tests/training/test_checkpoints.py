"""Checkpoints, and resuming: however often a training is stopped, it ends with the bytes of one that never was."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_trainer import DROPOUT, examples, weights
from tiny_model import tiny_classifier, tiny_tokenizer

import bertnp
from bertnp.training import Callback, Trainer
from bertnp.training import checkpoints as checkpoint_files
from bertnp.training.checkpoints import checkpoints
from bertnp.training.trainer import read_log

CLOCK = ("seconds", "tokens_per_second")


def make(output, model=None, callbacks=(), **options):
    model = model or tiny_classifier(**DROPOUT)
    options = {"epochs": 3, "batch_size": 8, "lr": 1e-2, "seed": 4, "log_every": 2, "checkpoint_every": 2, **options}
    return Trainer(
        model, examples(28), examples(8, 1), output=output, tokenizer=tiny_tokenizer(), callbacks=callbacks, **options
    )


def without_clock(value):
    if isinstance(value, dict):
        return {name: without_clock(item) for name, item in value.items() if name not in CLOCK}
    return [without_clock(item) for item in value] if isinstance(value, list) else value


def ending(folder):
    """All that a training leaves, but for the clock: bytes of tensors, contents of reports."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".safetensors":
            found[name] = path.read_bytes()
        elif path.suffix == ".jsonl":
            found[name] = [without_clock(line) for line in read_log(path)]
        elif path.suffix == ".json":
            found[name] = without_clock(json.loads(path.read_text(encoding="utf-8")))
        else:
            found[name] = path.is_dir() or path.read_bytes()
    return found


class StopAfter(Callback):
    """Presses Ctrl-C during a step."""

    def __init__(self, step):
        self.step = step
        self.moments = []

    def step_end(self, trainer):
        if trainer.step == self.step:
            signal.raise_signal(signal.SIGINT)

    def resumed(self, trainer, folder, changed):
        self.moments.append(("resumed", trainer.step, folder.name, changed))

    def stopping(self, trainer):
        self.moments.append(("stopping", trainer.step))


@pytest.fixture
def ctrl_c():
    """Ctrl-C as a program finds it, also where the tests run in the background and it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def unstopped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unstopped")
    trainer = make(folder)
    trainer.train()
    assert trainer.total_steps == 12
    return folder


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("step", [1, 2, 3, 4, 7, 11])
def test_a_training_stopped_at_any_step_ends_as_if_it_had_not_been(unstopped, tmp_path, step):
    look = StopAfter(step)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, callbacks=[look]).train()
    assert look.moments == [("stopping", step)]
    assert checkpoints(tmp_path)[-1][0] == step  # the step was finished and saved
    trainer = make(tmp_path, callbacks=[look])
    record = trainer.train(resume=True)
    assert look.moments[1] == ("resumed", step, f"step-{step:08}", [])
    assert record["ended"] == "finished"
    expected, found = ending(unstopped), ending(tmp_path)
    if step == 11:  # it stays as the last but one of two, where the other training's is from step 10
        expected = {name: value for name, value in expected.items() if "step-00000010" not in name}
        found = {name: value for name, value in found.items() if "step-00000011" not in name}
    assert found == expected


@pytest.mark.usefixtures("ctrl_c")
def test_stopped_again_and_again(unstopped, tmp_path):
    for step in (2, 3, 5, 6, 10):
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path, callbacks=[StopAfter(step)]).train(resume=True)
    make(tmp_path).train(resume=True)
    assert ending(tmp_path) == ending(unstopped)


@pytest.mark.usefixtures("ctrl_c")
def test_a_second_ctrl_c_stops_at_once(tmp_path):
    class Twice(Callback):
        def step_end(self, trainer):
            if trainer.step == 3:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, callbacks=[Twice()]).train()
    assert [step for step, _ in checkpoints(tmp_path)] == [2]


def test_a_finished_training_is_not_trained_again(unstopped, tmp_path):
    make(tmp_path).train()
    before = ending(tmp_path)
    trainer = make(tmp_path)
    trainer.train(resume=True)
    assert ending(tmp_path) == before
    assert weights(trainer).tobytes() == bertnp.BertForSequenceClassification.from_pretrained(
        tmp_path
    ).buffer.data.tobytes()


def test_resuming_where_there_is_nothing_begins_at_the_beginning(unstopped, tmp_path):
    make(tmp_path).train(resume=True)
    assert ending(tmp_path) == ending(unstopped)
    with pytest.raises(ValueError, match="resume: there is no output folder to resume from"):
        make(None).train(resume=True)


def test_a_checkpoint_is_a_model_and_only_so_many_stay(unstopped):
    assert [step for step, _ in checkpoints(unstopped)] == [10, 12]
    folder = checkpoints(unstopped)[0][1]
    assert bertnp.BertForSequenceClassification.from_pretrained(folder).load_report.complete
    assert bertnp.BertTokenizer.from_pretrained(folder).tokenize("the film") == ["the", "film"]


@pytest.mark.parametrize(("keep", "left"), [(0, []), (1, [12]), (3, [8, 10, 12])])
def test_how_many_checkpoints_stay(tmp_path, keep, left):
    make(tmp_path, keep=keep).train()
    assert [step for step, _ in checkpoints(tmp_path)] == left
    assert (tmp_path / "checkpoints").exists() == bool(left)


def test_checkpoints_of_an_earlier_training_are_not_taken_for_ones_own(tmp_path):
    make(tmp_path, epochs=5).train()
    make(tmp_path).train()
    assert [step for step, _ in checkpoints(tmp_path)] == [10, 12]


def test_without_checkpoints(tmp_path):
    make(tmp_path, checkpoint_every=0).train()
    assert not (tmp_path / "checkpoints").exists() and (tmp_path / "model.safetensors").exists()


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 1e-3}, "can't resume with changed settings: lr was 0.01 and is now 0.001"),
        ({"seed": 5}, "seed was 4 and is now 5"),
        ({"epochs": 4}, "epochs was 3 and is now 4; steps was 12 and is now 16"),
        ({"settings": {"file": "other.tsv"}}, "file was not set and is now other.tsv"),
    ],
)
def test_changed_settings_are_named(tmp_path, options, message):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, callbacks=[StopAfter(3)]).train()
    before = ending(tmp_path)
    with pytest.raises(ValueError) as raised:
        make(tmp_path, **options).train(resume=True)
    assert message in str(raised.value) and "step-00000003" in str(raised.value)
    assert ending(tmp_path) == before


@pytest.mark.usefixtures("ctrl_c")
def test_another_model_is_not_resumed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, callbacks=[StopAfter(3)]).train()
    with pytest.raises(ValueError, match="hidden_dropout_prob was 0.2 and is now 0.5"):
        make(tmp_path, tiny_classifier(**{**DROPOUT, "hidden_dropout_prob": 0.5})).train(resume=True)


@pytest.mark.usefixtures("ctrl_c")
def test_another_machine_is_noticed(tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, callbacks=[StopAfter(3)]).train()
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "77")
    look = StopAfter(0)
    make(tmp_path, callbacks=[look]).train(resume=True)
    ((_, _, _, changed),) = look.moments
    assert len(changed) == 1 and "77" in changed[0]


def test_a_full_disk_is_one_line_and_the_last_checkpoint_stays(tmp_path, monkeypatch):
    real = checkpoint_files.save_file

    def full(tensors, path):
        if "step-00000004" in str(path):
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(tensors, path)

    monkeypatch.setattr(checkpoint_files, "save_file", full)
    with pytest.raises(OSError) as raised:
        make(tmp_path).train()
    message = str(raised.value)
    assert "step-00000004 can't be written (No space left on device)" in message and "\n" not in message
    assert f"the last good checkpoint is {checkpoints(tmp_path)[-1][1]}" in message
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000002"]
    monkeypatch.undo()
    make(tmp_path).train(resume=True)


def test_what_a_killed_process_left_is_cleared_away(unstopped, tmp_path):
    for name in ("step-00000008.01234567.tmp", "step-00000002.89abcdef.old"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
        (tmp_path / "checkpoints" / name / "model.safetensors").write_bytes(b"half")
    (tmp_path / "metrics.jsonl").write_text('{"step": 2, "loss": 1}\n{"step": 4, "lo', encoding="utf-8")
    make(tmp_path).train(resume=True)
    assert ending(tmp_path) == ending(unstopped)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("trainer.json", b"{", "trainer.json: not a checkpoint's state"),
        ("trainer.json", b'{"format": 99}', "the checkpoint is of format 99; this version reads format 1"),
        ("trainer.safetensors", b"half", "trainer.safetensors: the moments can't be read"),
        ("model.safetensors", b"half", "model.safetensors: not a whole safetensors file"),
    ],
)
def test_a_damaged_checkpoint_is_named(tmp_path, file, content, message):
    make(tmp_path).train()
    (checkpoints(tmp_path)[-1][1] / file).write_bytes(content)
    with pytest.raises(ValueError) as raised:
        make(tmp_path).train(resume=True)
    assert message in str(raised.value)


def test_the_log_has_a_line_for_every_so_many_steps_and_every_evaluation(unstopped):
    lines = read_log(unstopped / "metrics.jsonl")
    assert [line["step"] for line in lines if "loss" in line] == [2, 4, 6, 8, 10, 12]
    assert [line["step"] for line in lines if "held_out" in line] == [4, 8, 12]
    record = json.loads((unstopped / "metrics.json").read_text(encoding="utf-8"))
    assert sum(line["tokens"] for line in lines[:3] if "tokens" in line) == record["history"][0]["tokens"]
    both = [line["loss"] for line in lines if "loss" in line][:2]
    assert record["history"][0]["train_loss"] == pytest.approx(np.average(both, weights=[16, 12]), rel=1e-12)


KILLED = """
import sys
sys.path[:0] = {paths!r}
from test_checkpoints import make
make(sys.argv[1]).train(resume=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="kills a process as POSIX systems do")
def test_a_training_killed_at_random_moments_ends_as_if_it_had_not_been(unstopped, tmp_path):
    tests = Path(__file__).parent
    program = KILLED.format(paths=[str(tests), str(tests.parent)])
    rng = np.random.default_rng(0)
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
        seen = len(checkpoints(tmp_path))
        deadline = time.monotonic() + 60
        while process.poll() is None and len(checkpoints(tmp_path)) <= min(seen, 1) and time.monotonic() < deadline:
            time.sleep(0.001)  # until it trains
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        process.wait()
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    assert ending(tmp_path) == ending(unstopped)
