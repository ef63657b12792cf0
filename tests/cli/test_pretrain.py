import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import bertnp
from bertnp.cli.training import Notes
from bertnp.training.checkpoints import checkpoints
from bertnp.training.trainer import read_log

SMALL = (
    "--layers", "1", "--hidden", "16", "--heads", "2", "--vocab-size", "120", "--max-length", "32", "--batch-size", "8",
    "--steps", "12", "--evaluate-every", "6", "--checkpoint-every", "4", "--log-every", "2", "--lr", "1e-2",
    "--hold-out", "0.2", "--dupe-factor", "2",
)  # fmt: skip
CLOCK = ("seconds", "tokens_per_second")


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    """A run that nothing stopped."""
    from bertnp.cli import main

    output = tmp_path_factory.mktemp("runs") / "whole"
    assert main(["pretrain", str(corpus), "-o", str(output), *SMALL, "--quiet"]) == 0
    return output


def ending(folder):
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.safetensors")}
    lines = read_log(folder / "metrics.jsonl")
    found["log"] = [{name: value for name, value in line.items() if name not in CLOCK} for line in lines]
    state = json.loads((checkpoints(folder)[-1][1] / "trainer.json").read_text(encoding="utf-8"))
    found["generator"] = state["train_set"]
    return found


def test_one_command_makes_vocabulary_instances_and_model(run, corpus, tmp_path):
    code, out, err = run("pretrain", corpus, "-o", tmp_path / "run", *SMALL)
    assert code == 0 and err == ""
    record = json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"))
    assert record["ended"] == "finished" and record["best"]["step"] == 12
    assert record["history"][1]["held_out"]["masked_lm_loss"] < record["history"][0]["held_out"]["masked_lm_loss"]
    assert {"next_sentence_accuracy", "masked_lm_accuracy"} < set(record["best"])
    assert "12 documents" in out and "held out" in out and "(it was: " in out
    model = bertnp.BertForPreTraining.from_pretrained(tmp_path / "run")
    assert model.load_report.complete
    tokenizer = bertnp.BertTokenizer.from_pretrained(tmp_path / "run")
    assert model.config.vocab_size == len(tokenizer) and tokenizer.tokenize("the cat sat") == ["the", "cat", "sat"]
    picture = (tmp_path / "run" / "training_curves.png").read_bytes()
    (tmp_path / "run" / "training_curves.png").unlink()
    code, out, _ = run("plot", tmp_path / "run")
    assert code == 0 and "drawn up to step 12" in out
    assert (tmp_path / "run" / "training_curves.png").read_bytes() == picture
    assert run("fill-mask", f"the {tokenizer.mask_token} sat", "--model", tmp_path / "run")[0] == 0


def test_it_is_resumed_without_saying_everything_again(run, corpus, whole, tmp_path, monkeypatch):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            press = lambda _, trainer: trainer.step == 7 and signal.raise_signal(signal.SIGINT)  # noqa: E731
            patch.setattr(Notes, "step_end", press)
            code, out, _ = run("pretrain", corpus, "-o", tmp_path / "run", *SMALL, "--quiet")
    finally:
        signal.signal(signal.SIGINT, before)
    assert code == 130 and "the same command with --resume goes on after step 7" in out
    code, out, err = run("pretrain", "--resume", "-o", tmp_path / "run", "--quiet")
    assert code == 0 and "resumed after step 7 of 12" in err
    assert ending(tmp_path / "run") == ending(whole)
    code, out, _ = run("pretrain", "--resume", "-o", tmp_path / "run", "--quiet")
    assert code == 0 and "has finished already" in out


@pytest.mark.skipif(os.name != "posix", reason="kills a process as POSIX systems do")
@pytest.mark.parametrize("seed", [0, 1])
def test_killed_at_any_moment_it_ends_with_the_same_bytes(corpus, whole, tmp_path, seed):
    rng = np.random.default_rng(seed)
    command = [sys.executable, "-m", "bertnp", "pretrain", str(corpus), "-o", str(tmp_path / "run"), *SMALL, "--quiet"]
    for _ in range(3):
        process = subprocess.Popen([*command, "--resume"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.1, 1.5))
        process.kill()
        process.wait()
    subprocess.run([*command, "--resume"], check=True, stdout=subprocess.DEVNULL)
    assert ending(tmp_path / "run") == ending(whole)


def test_static_masks_and_masked_words_alone(run, corpus, tmp_path):
    options = ("--masking", "static", "--no-next-sentence", "--whole-word")
    assert run("pretrain", "-o", tmp_path / "run", *SMALL, *options, corpus)[0] == 0
    assert bertnp.BertForMaskedLM.from_pretrained(tmp_path / "run").load_report.complete
    record = json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"))
    assert "next_sentence_accuracy" not in record["best"] and record["settings"]["masking"] == "static"


def test_it_goes_on_from_a_model(run, corpus, whole, tmp_path):
    options = ("--steps", "2", "--lr", "0", "--evaluate-every", "2", "--max-length", "32", "--hold-out", "0.2")
    code, out, _ = run("pretrain", corpus, "-o", tmp_path / "run", "--model", whole, *options)
    assert code == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_instances_made_before(run, refused, corpus, whole, tmp_path):
    options = ("--instances", whole / "instances", "--tokenizer", whole / "tokenizer", *SMALL)
    assert run("pretrain", *options, "-o", tmp_path / "run", "--quiet")[0] == 0
    assert ending(tmp_path / "run") == ending(whole)
    other = tmp_path / "vocabulary"
    assert run("vocab", corpus, "-o", other, "--size", "50")[0] == 0
    options = ("--instances", whole / "instances", "--tokenizer", other, *SMALL, "--quiet")
    message = refused("pretrain", *options, "-o", tmp_path / "b")
    assert "vocabulary" in message
    assert not (tmp_path / "b" / "model.safetensors").exists()


def test_a_resume_with_changed_settings_is_refused(refused, corpus, whole, tmp_path):
    message = refused("pretrain", "--resume", "-o", whole, "--lr", "1e-3")
    assert message == "can't resume with changed settings: --lr was 0.01 and is now 0.001"
    other = tmp_path / "other.txt"
    other.write_text("a b c.\n", encoding="utf-8")
    assert "--corpus was" in refused("pretrain", other, "--resume", "-o", whole)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"", (), "corpus.txt"),
        (b"the cat .\nthe dog .\n", (), "next-sentence task needs two"),
        (b"the \x00 cat .\n\nthe dog .\n", (), "corpus.txt"),
        (b"the cat .\n\nthe dog .\n", ("--vocab-size", "7"), "tokens are too few"),
        (b"the cat .\n\nthe dog .\n", ("--hidden", "30", "--heads", "4"), "can't be divided among --heads 4"),
        (None, (), "there is no text to train on: give CORPUS, or --instances"),
        (b"the cat .\n", ("--instances", "x"), "give either CORPUS or --instances"),
        (b"the cat .\n", ("--steps", "5", "--epochs", "2"), "argument --epochs: not allowed with argument --steps"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(refused, tmp_path, content, options, message):
    corpus = []
    if content is not None:
        corpus = [tmp_path / "corpus.txt"]
        corpus[0].write_bytes(content)
    assert message in refused("pretrain", *corpus, "-o", tmp_path / "run", "--quiet", *options)
    assert not (tmp_path / "run").exists()


def test_there_is_nothing_to_draw_yet(refused, tmp_path):
    assert "there is no log" in refused("plot", tmp_path)
    (tmp_path / "metrics.jsonl").write_text("", encoding="utf-8")
    assert "there is no line with a loss in it yet" in refused("plot", tmp_path)


def test_a_program_that_was_interrupted_while_it_made_its_data_begins_again(run, corpus, whole, tmp_path):
    output = tmp_path / "run"
    for half in ("instances.01234567.tmp", "tokenizer.89abcdef.tmp"):
        (output / half).mkdir(parents=True)
        (output / half / "half").write_bytes(b"half")
    assert run("pretrain", corpus, "-o", output, *SMALL, "--resume", "--quiet")[0] == 0
    assert ending(output) == ending(whole)
    assert not [path for path in Path(output).iterdir() if path.suffix == ".tmp"]
