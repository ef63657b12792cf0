"""bertnp translate: trained on made-up pairs and on a file, resumed, used, compared."""

import importlib
import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bertnp import Transformer
from bertnp.data import number_pairs
from bertnp.pipelines import Translator

ROOT = Path(__file__).parents[2]
SMALL = ["--hidden", "16", "--heads", "2", "--layers", "1", "--batch-size", "32", "--quiet"]


def write_pairs(path, n=60):
    pairs = number_pairs(n, seed=3)
    path.write_text("".join(f"{s}\t{t}\n" for s, t in zip(pairs.sources, pairs.targets, strict=True)), encoding="utf-8")
    return path


def read_record(folder):
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model that has learnt to name small numbers by heart, more or less."""
    from bertnp.cli import main

    folder = tmp_path_factory.mktemp("translate")
    pairs = write_pairs(folder / "pairs.tsv")
    code = main(["translate", "train", str(pairs), "-o", str(folder / "out"), "--units", "characters", "--shared",
                 "--hold-out", "6", "--epochs", "2", "--keep", "1", *SMALL])  # fmt: skip
    assert code == 0
    return folder


def test_training_writes_model_vocabulary_pictures_and_translations(trained):
    out = trained / "out"
    files = "attention.png", "learning_curve.png", "config.json", "model.safetensors", "vocab.txt", "metrics.jsonl"
    for name in files:
        assert (out / name).stat().st_size > 0
    record = read_record(out)
    assert record["ended"] == "finished" and len(record["history"]) == 2
    assert set(record["history"][0]["held_out"]) == {"loss", "token_accuracy", "exact_match"}
    assert record["history"][1]["held_out"]["loss"] < record["history"][0]["held_out"]["loss"]
    assert set(record["translation"]) == {"greedy", "beam of 4"} and record["translation"]["greedy"]["pairs"] == 6
    lines = (out / "translations.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "source\ttranslation\treference" and len(lines) == 7
    assert Transformer.from_pretrained(out).load_report.complete


def test_run_translates_arguments_lines_and_files(run, trained):
    model = trained / "out"
    texts = ["two hundred", "seven"]
    expected = [one.text for one in Translator.from_pretrained(model)(texts)]
    code, out, err = run("translate", "run", *texts, "--model", model)
    assert (code, out.splitlines(), err) == (0, expected, "")
    (trained / "texts.txt").write_text("two hundred\nseven\n", encoding="utf-8")
    code, out, _ = run("translate", "run", "--file", trained / "texts.txt", "--model", model, "--format", "jsonl")
    records = [json.loads(line) for line in out.splitlines()]
    assert [record["translation"] for record in records] == expected
    assert set(records[0]) == {"source", "translation", "log_probability", "score", "finished"}
    code, out, _ = run("translate", "run", "seven", "--model", model, "--beams", 1, "--attention", trained / "a.png")
    assert code == 0 and (trained / "a.png").read_bytes().startswith(b"\x89PNG")


def test_run_compares_with_the_targets_of_a_file(run, trained):
    pairs = trained / "pairs.tsv"
    code, out, _ = run("translate", "run", "--pairs", pairs, "--model", trained / "out", "--max-length", 8)
    assert code == 0 and "exact match" in out and "mean score" in out


def test_info_knows_it(run, trained):
    code, out, _ = run("info", trained / "out")
    assert code == 0 and "Transformer (translation)" in out and "tokens of both sides, characters" in out
    assert "any number of positions" in out and "tensors loaded" in out


def test_attention_is_that_of_the_model(trained):
    translator = Translator.from_pretrained(trained / "out")
    found = translator("seven", num_beams=1)
    source, target, attentions = translator.attentions("seven", found)
    assert source == [*"seven", "[SEP]"] and target == [*found.tokens, "[SEP]"]
    (shares,) = attentions
    assert shares.shape == (2, len(target), 6)
    np.testing.assert_allclose(shares.sum(axis=-1), 1, rtol=1e-5)


def test_made_up_pairs_are_the_default(run, tmp_path):
    code, out, err = run("translate", "train", "-o", tmp_path / "dates", "--amount", 80, "--steps", 2, "--hold-out", 4,
                         "--translate", 2, *SMALL)  # fmt: skip
    assert code == 0 and err in ("", "bertnp: BLEU needs sacrebleu: pip install 'bertnp[translate]'\n" * 2)
    record = read_record(tmp_path / "dates")
    assert record["settings"]["made_up"] == "dates" and record["settings"]["units"] == "characters"


def test_separate_vocabularies_noam_and_pre_norm(run, tmp_path):
    pairs = write_pairs(tmp_path / "pairs.tsv")
    code, _, err = run("translate", "train", pairs, "-o", tmp_path / "out", "--steps", 3, "--hold-out", 0, "--schedule",
                       "noam", "--warmup", 2, "--norm-first", "--vocab-size", 100, "--clip", 0, *SMALL)  # fmt: skip
    assert code == 0, err
    record = read_record(tmp_path / "out")
    assert record["history"][-1]["lr"] == pytest.approx(16**-0.5 * 3**-0.5) and record["settings"]["lr"] == 1.0
    model = Transformer.from_pretrained(tmp_path / "out")
    assert model.config.norm_first and model.config.target_vocab_size == model.config.words_out
    assert (tmp_path / "out" / "source" / "vocab.txt").exists()


def test_interrupted_and_resumed_ends_with_the_same_bytes(tmp_path, run):
    pairs = write_pairs(tmp_path / "pairs.tsv", 200)
    command = ["translate", "train", pairs, "--units", "characters", "--epochs", 12, "--hold-out", 8, *SMALL]
    assert run(*command, "-o", tmp_path / "whole")[0] == 0
    stopped = tmp_path / "stopped"
    process = subprocess.Popen([sys.executable, "-m", "bertnp", *map(str, command), "-o", str(stopped)], cwd=ROOT)
    deadline = time.time() + 100
    while not list(stopped.glob("checkpoints/step-*")) and process.poll() is None and time.time() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.wait(100)
    assert read_record(stopped)["ended"] == "interrupted"
    assert run(*command, "-o", stopped, "--resume")[0] == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "stopped")]
    assert weights[0] == weights[1]
    assert read_record(tmp_path / "whole")["translation"] == read_record(stopped)["translation"]
    code, out, _ = run(*command, "-o", stopped, "--resume")
    assert code == 0 and "has finished already" in out


@pytest.mark.parametrize("action", ["train", "run"])
def test_every_example_with_a_file_can_be_parsed(run, action):
    """Each example's options exist: it fails for its missing files, not for its arguments."""
    module = importlib.import_module(f"bertnp.cli.translate_{action}")
    lines = [line for line in module.EXAMPLES.splitlines() if action == "run" or ".t" in line]
    assert len(lines) > 3
    for line in lines:
        if "bertnp" in line:
            code, _, err = run(*shlex.split(line.partition("bertnp ")[2]))
            assert code == 2 and "--help" not in err, (line, err)


def test_what_is_wrong_is_told(refused, tmp_path, trained):
    pairs = write_pairs(tmp_path / "pairs.tsv")
    assert refused("translate").startswith("say what to do")
    assert refused("translate", "learn") == "there is no action 'learn'; there are train and run"
    train = "translate", "train", "-o", tmp_path / "out"
    assert "can't be divided among --heads 3" in refused(*train, pairs, "--heads", 3)
    assert refused(*train, pairs, "--made-up", "dates") == "give either PAIRS or --made-up"
    assert "no file" in refused(*train, tmp_path / "none.tsv")
    assert "leaves none to train on" in refused(*train, pairs, "--hold-out", 100)
    assert "no source has at most" in refused(*train, write_pairs(tmp_path / "p.tsv", 1), "--max-words", 1)
    assert "is not empty" in refused("translate", "train", pairs, "-o", trained)
    assert not (tmp_path / "out").exists()
    assert "no translation.json" in refused("translate", "run", "a", "--model", tmp_path)
    assert "give either texts" in refused("translate", "run", "a", "--pairs", pairs, "--model", trained / "out")
