import json
import shutil
import signal
import statistics

import numpy as np
import pytest
from tiny_model import tiny_tokenizer, toy_sentences, write_table

import bertnp
from bertnp.cli.training import Notes
from bertnp.data import encode_texts, read_table
from bertnp.pipelines import TextClassifier
from bertnp.training import Callback, Trainer

FAST = ("--epochs", "2", "--batch-size", "8", "--lr", "1e-2")
MODEL_FILES = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"}


def names_in(folder):
    return {path.name for path in folder.iterdir()}


def read_metrics(folder):
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def test_sentences_are_learned_and_everything_is_in_the_folder(run, pretrained, tmp_path):
    output = tmp_path / "new" / "model"
    train_file = write_table(tmp_path / "train.tsv", toy_sentences(80))
    code, out, err = run("finetune", train_file, "--model", pretrained, "-o", output, "--epochs", "10",
                         "--batch-size", "8", "--lr", "1e-2", "--hold-out", "0.25")  # fmt: skip
    assert code == 0 and err == ""
    pictures = {"learning_curve.png", "confusion_matrix.png"}
    assert names_in(output) == MODEL_FILES | {"metrics.json", "metrics.jsonl"} | pictures
    record = read_metrics(output)
    assert record["ended"] == "finished" and len(record["history"]) == 10
    assert record["settings"]["train_examples"] == 60 and record["settings"]["held_out_examples"] == 20
    assert record["settings"]["labels"] == ["neg", "pos"] and record["settings"]["max_length"] == 24
    assert record["best"]["accuracy"] == 1.0
    assert record["confusion_matrix"] == {"labels": ["neg", "pos"], "true_by_predicted": [[10, 0], [0, 10]]}
    assert "epoch 1/10  loss" in out and "best    epoch" in out and str(output) in out
    classify = TextClassifier.from_pretrained(output)
    assert classify.model.config.problem_type == "single_label_classification"
    assert [result["label"] for result in classify(["the film was lovely", "the book was awful"])] == ["pos", "neg"]


@pytest.mark.usefixtures("without_pictures")
def test_it_is_the_trainer_with_the_settings_given(run, pretrained, train_file, tmp_path):
    held_out = write_table(tmp_path / "held.tsv", toy_sentences(12, seed=1))
    run("finetune", train_file, "--model", pretrained, "-o", tmp_path / "out", "--eval", held_out, "--epochs", "2",
        "--batch-size", "8", "--lr", "3e-3", "--weight-decay", "0.2", "--warmup", "3", "--schedule", "cosine", "--clip",
        "0.5", "--seed", "5", "--optimizer", "google", "--max-length", "6", "--best-by", "loss")  # fmt: skip
    model = bertnp.BertForSequenceClassification.from_pretrained(pretrained, num_labels=2, seed=5)

    def encode(file):
        table = read_table(file)
        return encode_texts(tiny_tokenizer(), table.texts, None, table.classes(["neg", "pos"]), max_length=6)

    trainer = Trainer(
        model, encode(train_file), encode(held_out), epochs=2, batch_size=8, lr=3e-3, weight_decay=0.2, warmup=3,
        schedule="cosine", clip=0.5, seed=5, optimizer="google", best_by="loss",
    )  # fmt: skip
    trainer.train()
    found = bertnp.BertForSequenceClassification.from_pretrained(tmp_path / "out")
    assert found.buffer.data.tobytes() == model.buffer.data.tobytes()
    settings = read_metrics(tmp_path / "out")["settings"]
    assert {name: settings[name] for name in trainer.record["settings"]} == trainer.record["settings"]


def test_the_same_command_gives_the_same_bytes(run, pretrained, train_file, tmp_path):
    for name in ("a", "b"):
        assert run("finetune", train_file, "--model", pretrained, "-o", tmp_path / name, *FAST)[0] == 0
    for name in names_in(tmp_path / "a") - {"metrics.json", "metrics.jsonl"}:  # they have times in them
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


@pytest.mark.usefixtures("without_pictures")
def test_pairs(run, pretrained, tmp_path):
    rows = [(a, b, label) for (a, label), (b, _) in zip(toy_sentences(24), toy_sentences(24, 1), strict=True)]
    file = tmp_path / "pairs.csv"
    file.write_text("\n".join(",".join(row) for row in rows), encoding="utf-8")
    code, _, _ = run("finetune", file, "--text", "1", "--pair", "2", "--label", "3", "--model", pretrained, "-o",
                     tmp_path / "out", *FAST)  # fmt: skip
    assert code == 0
    record = read_metrics(tmp_path / "out")
    assert record["settings"]["columns"] == {"text": 1, "pair": 2, "label": 3}
    whole = encode_texts(tiny_tokenizer(), [a for a, _, _ in rows], [b for _, b, _ in rows], max_length=24)
    assert record["history"][0]["tokens"] > whole.lengths.sum() * 0.8  # both sentences are seen


def test_numbers(run, pretrained, tmp_path):
    rows = [(text, 2.5 if label == "pos" else -1) for text, label in toy_sentences(80)]
    file = write_table(tmp_path / "train.tsv", rows, ("sentence", "score"))
    code, out, _ = run("finetune", file, "--model", pretrained, "-o", tmp_path / "out", "--epochs", "10",
                       "--batch-size", "8", "--lr", "1e-2", "--hold-out", "0.25")  # fmt: skip
    assert code == 0 and "pearson" in out and "labels " not in out
    assert names_in(tmp_path / "out") == MODEL_FILES | {
        "metrics.json", "metrics.jsonl", "learning_curve.png", "predicted_against_true.png",
    }  # fmt: skip
    record = read_metrics(tmp_path / "out")
    assert record["settings"]["task"] == "regression" and record["best"]["pearson"] > 0.9
    config = bertnp.BertConfig.from_pretrained(tmp_path / "out")
    assert config.problem_type == "regression" and config.id2label == {0: "score"}


@pytest.mark.usefixtures("without_pictures")
def test_whole_numbers_are_classes_unless_a_number_is_asked_for(run, pretrained, tmp_path):
    file = write_table(tmp_path / "train.tsv", [(text, int(label == "pos")) for text, label in toy_sentences(40)])
    run("finetune", file, "--model", pretrained, "-o", tmp_path / "a", *FAST)
    run("finetune", file, "--model", pretrained, "-o", tmp_path / "b", *FAST, "--task", "regression")
    assert read_metrics(tmp_path / "a")["settings"]["labels"] == ["0", "1"]
    assert read_metrics(tmp_path / "b")["settings"]["task"] == "regression"


@pytest.mark.usefixtures("without_pictures")
def test_several_seeds_are_summed_up(run, pretrained, train_file, tmp_path):
    output = tmp_path / "out"
    code, out, _ = run("finetune", train_file, "--model", pretrained, "-o", output, "--seeds", "3", "--seed", "2",
                       "--epochs", "1", "--batch-size", "8", "--lr", "1e-3")  # fmt: skip
    assert code == 0
    assert names_in(output) == {"seed-2", "seed-3", "seed-4", "metrics.json"}
    records = [read_metrics(output / f"seed-{seed}") for seed in (2, 3, 4)]
    assert [record["settings"]["seed"] for record in records] == [2, 3, 4]
    summary = read_metrics(output)
    losses = [record["best"]["loss"] for record in records]
    assert summary["seeds"] == [2, 3, 4] and len(set(losses)) == 3
    assert summary["mean"]["loss"] == pytest.approx(statistics.fmean(losses), rel=1e-12)
    assert summary["deviation"]["loss"] == pytest.approx(np.std(losses, ddof=1), rel=1e-9)
    assert "3 seeds, mean ± standard deviation: loss" in out
    run("finetune", train_file, "--model", pretrained, "-o", tmp_path / "one", "--seed", "3", "--epochs", "1",
        "--batch-size", "8", "--lr", "1e-3")  # fmt: skip
    alone, among = (folder / "model.safetensors" for folder in (tmp_path / "one", output / "seed-3"))
    assert alone.read_bytes() == among.read_bytes()


def test_without_evaluation_there_is_no_confusion_matrix(run, pretrained, train_file, tmp_path):
    assert run("finetune", train_file, "--model", pretrained, "-o", tmp_path / "out", *FAST, "--hold-out", "0")[0] == 0
    assert names_in(tmp_path / "out") == MODEL_FILES | {"metrics.json", "metrics.jsonl", "learning_curve.png"}
    assert read_metrics(tmp_path / "out")["settings"]["train_examples"] == 40


@pytest.mark.usefixtures("without_pictures")
def test_patience_precision_and_pieces(run, pretrained, train_file, tmp_path):
    code, out, _ = run("finetune", train_file, "--model", pretrained, "-o", tmp_path / "out", "--lr", "0", "--epochs",
                       "9", "--patience", "2", "--precision", "float64", "--micro-batch-size", "3")  # fmt: skip
    assert code == 0 and "stopped early: no better epoch in the last 2" in out
    record = read_metrics(tmp_path / "out")
    assert len(record["history"]) == 3 and record["settings"]["dtype"] == "float64"
    assert record["settings"]["micro_batch_size"] == 3


@pytest.mark.usefixtures("without_pictures")
def test_a_classifier_can_be_taught_further_or_anew(run, classifier, train_file, tmp_path):
    """Its classifier stays where the labels are the same ones, in its own order, and is new where they aren't."""
    further = tmp_path / "further"
    shutil.copytree(classifier, further)
    config = bertnp.BertConfig.from_pretrained(classifier, id2label={0: "pos", 1: "neg"})
    config.save_pretrained(further)
    code, out, _ = run("finetune", train_file, "--model", further, "-o", tmp_path / "a", *FAST)
    assert code == 0 and "newly initialised" not in out
    assert read_metrics(tmp_path / "a")["settings"]["labels"] == ["pos", "neg"]
    rows = [(text, "no" if i % 3 == 0 else label) for i, (text, label) in enumerate(toy_sentences(40))]
    file = write_table(tmp_path / "three.tsv", rows)
    code, out, _ = run("finetune", file, "--model", classifier, "-o", tmp_path / "b", *FAST)
    assert code == 0 and "newly initialised: classifier.weight, classifier.bias" in out
    assert read_metrics(tmp_path / "b")["settings"]["labels"] == ["neg", "no", "pos"]


@pytest.mark.usefixtures("without_pictures")
def test_a_model_can_be_written_over_itself(run, classifier, train_file, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(classifier, folder)
    before = (folder / "model.safetensors").read_bytes()
    assert run("finetune", train_file, "--model", folder, "-o", folder, "--overwrite", *FAST)[0] == 0
    assert (folder / "model.safetensors").read_bytes() != before
    TextClassifier.from_pretrained(folder)


@pytest.mark.usefixtures("without_pictures")
def test_quiet_leaves_the_lines_of_the_epochs(run, pretrained, train_file, tmp_path):
    code, out, err = run("finetune", train_file, "--model", pretrained, "-o", tmp_path / "out", *FAST, "--quiet")
    assert code == 0 and err == ""
    assert [line.split()[0] for line in out.splitlines()] == ["epoch", "epoch", "best"]


@pytest.mark.usefixtures("without_pictures")
def test_texts_that_were_cut_are_mentioned(run, pretrained, train_file, tmp_path):
    _, _, err = run("finetune", train_file, "--model", pretrained, "-o", tmp_path / "out", *FAST, "--max-length", "6")
    assert "36 training texts fill all 6 tokens; what is longer was cut" in err


# what is refused, before anything is written


GOOD = toy_sentences(20)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"", (), "train.tsv: the file is empty"),
        (b"sentence\tlabel\n", (), "train.tsv: there are no rows after the header"),
        (b"sentence\tlabel\na\tpos\nb\xff\tneg\n", (), "train.tsv, line 3: not UTF-8 (byte 0xff)"),
        (b"sentence\tlabel\na\tpos\n\tneg\n", (), "train.tsv, line 3, column 'sentence': a row without text"),
        (b"sentence\tlabel\na\tpos\nb\n", (), "train.tsv, line 3: 1 column, but line 1 has 2"),
        (b"sentence\tlabel\na\tpos\nb\tpos\n", (), "train.tsv: every row has the label 'pos'"),
        (b"sentence\tlabel\na\t1.5\nb\tlow\n", ("--task", "regression"), "line 3, column 'label': expected a number"),
        (None, ("--text", "review"), "train.tsv: there is no column 'review'; there are 'sentence', 'label'"),
        (None, ("--label", "7"), "train.tsv: there is no column 7; there are 2, counted from 1"),
        (None, ("--pair", "sentence"), "the same column was given for two of text, pair and label"),
        (None, ("--max-length", "25"), "max_length: 25 tokens are more than the model's 24 positions"),
        (None, ("--hold-out", "0.01"), "holding out 0.01 of 20 rows leaves 20 to train on and 0 to evaluate on"),
        (None, ("--hold-out", "1"), "argument --hold-out: expected a number of at least 0 and below 1, got '1'"),
        (None, ("--hold-out", "0.2", "--eval", "x.tsv"), "argument --eval: not allowed with argument --hold-out"),
        (None, ("--epochs", "0"), "argument --epochs: expected a whole number of at least 1, got '0'"),
        (None, ("--lr", "fast"), "argument --lr: expected a number of at least 0, got 'fast'"),
        (None, ("--lr", "nan"), "argument --lr: expected a number of at least 0, got 'nan'"),
        (None, ("--warmup", "1.5"), "--warmup: expected a share below 1 or a whole number of steps, got '1.5'"),
        (None, ("--schedule", "step"), "argument --schedule: invalid choice: 'step'"),
        (None, ("--best-by", "recall"), "best_by: there is no metric 'recall'; there are loss, accuracy, f1, f1_macro"),
        (None, ("--delimiter", "::"), "argument --delimiter: expected one character or 'tab', got '::'"),
        (None, ("--epoch", "3"), "unrecognized arguments: --epoch 3"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_one_line(refused, pretrained, tmp_path, content, options, message):
    file = write_table(tmp_path / "train.tsv", GOOD)
    if content is not None:
        file.write_bytes(content)
    assert message in refused("finetune", file, "--model", pretrained, "-o", tmp_path / "new" / "out", *options)
    assert names_in(tmp_path) == {"train.tsv"}


def test_missing_files_and_folders(refused, pretrained, train_file, tmp_path):
    output = tmp_path / "out"
    assert refused("finetune", tmp_path / "no.tsv", "--model", pretrained, "-o", output) == (
        f"there is no file {tmp_path / 'no.tsv'}"
    )
    assert "is a folder; expected a file" in refused("finetune", tmp_path, "--model", pretrained, "-o", output)
    missing = tmp_path / "nothing"
    assert str(missing) in refused("finetune", train_file, "--model", missing, "-o", output)
    assert "there is no file" in refused("finetune", train_file, "--model", pretrained, "-o", output, "--eval", missing)
    assert "the following arguments are required: --model, -o/--output" in refused("finetune")
    assert "the following arguments are required: FILE" in refused("finetune", "--model", pretrained, "-o", output)
    assert not output.exists()


def test_labels_that_only_the_evaluation_file_has(refused, pretrained, train_file, tmp_path):
    held_out = write_table(tmp_path / "held.tsv", [("the film", "pos"), ("a day", "neutral")])
    message = refused("finetune", train_file, "--model", pretrained, "-o", tmp_path / "out", "--eval", held_out)
    assert "held.tsv, line 3, column 'label': unknown label 'neutral'; known: 'neg', 'pos'" in message
    assert not (tmp_path / "out").exists()


def damage_config(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        if value is None:
            del config[key]
        else:
            config[key] = value
    path.write_text(json.dumps(config), encoding="utf-8")


def cut_off_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "pieces"),
    [
        (cut_off_weights, ["model.safetensors", "not a whole safetensors file"]),
        (lambda folder: damage_config(folder, hidden_size=None), ["config.json", "'hidden_size' is missing"]),
        (lambda folder: damage_config(folder, hidden_size=17), ["config.json", "hidden_size must be a multiple"]),
        (lambda folder: damage_config(folder, intermediate_size=20), ["intermediate.dense.weight", "shape (32, 16)"]),
        (lambda folder: damage_config(folder, model_type="gpt2"), ["config.json", "model_type is 'gpt2'"]),
        (lambda folder: damage_config(folder, vocab_size=30), ["the tokenizer has 34 tokens, but the model only 30"]),
        (lambda folder: (folder / "config.json").unlink(), ["config.json"]),
        (lambda folder: (folder / "model.safetensors").unlink(), ["no weights"]),
        (lambda folder: [(folder / n).unlink() for n in ("vocab.txt", "tokenizer.json")], ["tokenizer.json", "vocab"]),
    ],
)
def test_broken_models(refused, pretrained, train_file, tmp_path, damage, pieces):
    folder = tmp_path / "model"
    shutil.copytree(pretrained, folder)
    damage(folder)
    message = refused("finetune", train_file, "--model", folder, "-o", tmp_path / "out")
    for piece in pieces:
        assert piece in message
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_not_written_to(refused, run, pretrained, train_file, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    (output / "precious.txt").write_text("mine", encoding="utf-8")
    message = refused("finetune", train_file, "--model", pretrained, "-o", output)
    assert message == f"{output} is not empty; give another folder, --overwrite, or --resume to go on"
    assert names_in(output) == {"precious.txt"}
    assert run("finetune", train_file, "--model", pretrained, "-o", output, "--overwrite", *FAST)[0] == 0
    assert "precious.txt" in names_in(output)


def test_a_place_that_cannot_be_written_to(refused, pretrained, train_file, tmp_path):
    assert refused("finetune", train_file, "--model", pretrained, "-o", train_file) == (
        f"{train_file} is a file; expected a folder to write to"
    )
    message = refused("finetune", train_file, "--model", pretrained, "-o", train_file / "out")
    assert str(train_file) in message
    assert names_in(tmp_path) == {"train.tsv"}


def test_an_empty_folder_that_was_there_stays(refused, pretrained, tmp_path):
    (tmp_path / "out").mkdir()
    refused("finetune", tmp_path / "no.tsv", "--model", pretrained, "-o", tmp_path / "out")
    assert (tmp_path / "out").is_dir()


def test_a_loss_that_explodes_is_one_line_and_leaves_nothing(run, pretrained, train_file, tmp_path):
    code, _, err = run("finetune", train_file, "--model", pretrained, "-o", tmp_path / "out", "--lr", "1e38", "--clip",
                       "0", "--warmup", "0")  # fmt: skip
    assert code == 2 and err.count("\n") == 1
    assert err.startswith("bertnp: error: the loss is nan at step 2, training rows ")
    assert "there is no good model" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("steps", "kept"), [(2, False), (7, True)])
def test_ctrl_c_ends_with_what_was_saved(run, pretrained, train_file, tmp_path, monkeypatch, steps, kept):
    def interrupt(self, trainer):
        if trainer.step == steps:
            raise KeyboardInterrupt

    monkeypatch.setattr(Callback, "step_end", interrupt)
    output = tmp_path / "out"
    code, out, err = run("finetune", train_file, "--model", pretrained, "-o", output, *FAST, "--quiet")
    assert code == 130 and err == ""
    if kept:
        assert "stopped; the best model so far, of epoch 1, is in" in out
        assert read_metrics(output)["ended"] == "interrupted"
        assert {"learning_curve.png", "confusion_matrix.png", *MODEL_FILES} <= names_in(output)
        TextClassifier.from_pretrained(output)
    else:
        assert "stopped before anything was saved: nothing is kept" in out
        assert not output.exists()


@pytest.mark.usefixtures("without_pictures")
def test_a_stopped_run_goes_on_with_resume(run, pretrained, train_file, tmp_path, monkeypatch):
    command = ("finetune", train_file, "--model", pretrained, *FAST, "--quiet", "--keep", "1")
    assert run(*command, "-o", tmp_path / "whole")[0] == 0
    with monkeypatch.context() as patch:
        press = lambda _, trainer: trainer.step == 7 and signal.raise_signal(signal.SIGINT)  # noqa: E731
        patch.setattr(Notes, "step_end", press)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            code, out, err = run(*command, "-o", tmp_path / "out")
        finally:
            signal.signal(signal.SIGINT, before)
    assert code == 130 and "the same command with --resume goes on after step 7" in out
    assert "stopping after this step" in err
    code, out, err = run(*command, "-o", tmp_path / "out", "--resume")
    assert code == 0 and "resumed after step 7 of 10" in err
    for name in ("model.safetensors", "checkpoints/step-00000010/trainer.safetensors"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    code, out, _ = run(*command, "-o", tmp_path / "out", "--resume")
    assert code == 0 and "has finished already" in out


def test_ctrl_c_while_pictures_are_drawn_loses_nothing(run, pretrained, train_file, tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    output = tmp_path / "out"
    command = ("finetune", train_file, "--model", pretrained, "-o", output, *FAST, "--quiet")
    monkeypatch.setattr("bertnp.plotting.learning_curve", interrupt)
    code, out, err = run(*command)
    assert code == 130 and err == ""
    assert f"stopped after the training had ended: the best model, of epoch 1, is in {output}; pictures may" in out
    assert read_metrics(output)["ended"] == "finished"
    code, out, err = run(*command, "--resume")
    assert code == 0 and "has finished already" in out and err == ""


def test_resuming_another_command_is_refused(run, refused, pretrained, train_file, tmp_path):
    command = ("finetune", train_file, "--model", pretrained, "-o", tmp_path / "out", "--quiet")
    run(*command, *FAST)
    message = refused(*command, *FAST, "--seed", "9", "--resume")
    assert "can't resume with changed settings: seed was 0 and is now 9" in message
