import io
import json
import math

import numpy as np
import pytest
from tiny_model import tiny_classifier, tiny_tokenizer, toy_sentences

import bertnp
from bertnp.backend import to_numpy
from bertnp.data import EncodedTexts, encode_texts, epoch_order
from bertnp.training import Callback, EvaluationLines, ProgressBar, Trainer, evaluate, predict_logits
from bertnp.training.trainer import make_optimizer, make_schedule, warmup_steps

DROPOUT = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.2}


def examples(n, seed=0, labels=None):
    rows = toy_sentences(n, seed)
    if labels is None:
        labels = [int(label == "pos") for _, label in rows]
    return encode_texts(tiny_tokenizer(), [text for text, _ in rows], labels=labels)


def without_clock(record):
    epochs = [{k: v for k, v in e.items() if k not in ("seconds", "tokens_per_second")} for e in record["history"]]
    return {**record, "history": epochs}


def train(train_set, evaluation=None, model=None, **options):
    model = model or tiny_classifier(**DROPOUT)
    trainer = Trainer(model, train_set, evaluation, **{"lr": 1e-3, "epochs": 2, "batch_size": 8, **options})
    trainer.train()
    return trainer


def weights(trainer):
    return to_numpy(trainer.model.buffer.data)


def test_a_small_model_learns_a_separable_set():
    trainer = train(examples(64), examples(32, seed=1), model=tiny_classifier(), lr=1e-2, epochs=10)
    assert trainer.record["best"]["accuracy"] == 1.0
    assert evaluate(trainer.model, examples(64))["accuracy"] == 1.0
    losses = [epoch["train_loss"] for epoch in trainer.record["history"]]
    assert losses[-1] < 0.1 < 0.5 < losses[0]


def test_a_small_model_learns_numbers():
    scores = [2.5 if label == "pos" else -1.5 for _, label in toy_sentences(64)]
    model = tiny_classifier(num_labels=1)
    trainer = train(examples(64, labels=scores), examples(64, labels=scores), model=model, lr=1e-2, epochs=8)
    best = trainer.record["best"]
    assert best["pearson"] > 0.95 and best["rmse"] < 0.5
    assert trainer.best_by == "pearson" and model.config.problem_type == "regression"


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    first, again, other = (train(examples(20), examples(8, 1), seed=seed) for seed in (3, 3, 4))
    assert weights(first).tobytes() == weights(again).tobytes()
    assert without_clock(first.record) == without_clock(again.record)
    assert weights(first).tobytes() != weights(other).tobytes()


def test_an_earlier_training_of_the_same_model_leaves_nothing_behind():
    model = tiny_classifier(**DROPOUT)
    begin = model.buffer.data.copy()
    first = weights(train(examples(20), model=model, seed=3)).copy()
    model.buffer.data[...] = begin
    assert weights(train(examples(20), model=model, seed=3)).tobytes() == first.tobytes()


@pytest.mark.parametrize("micro_batch_size", [1, 3, 5, 8])
def test_cutting_a_batch_into_pieces_changes_nothing(micro_batch_size):
    def run(size):
        model = tiny_classifier(dtype=np.float64, **DROPOUT)
        return train(examples(20), examples(8, 1), model=model, micro_batch_size=size, clip=0.1)

    whole, cut = run(None), run(micro_batch_size)
    difference = np.abs(weights(whole) - weights(cut)).max() / np.abs(weights(whole)).max()
    assert difference < 1e-12
    for a, b in zip(whole.record["history"], cut.record["history"], strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-12)
        assert a["held_out"]["loss"] == pytest.approx(b["held_out"]["loss"], rel=1e-12)


def test_pieces_weigh_as_much_as_the_labels_in_them():
    class Tokens(EncodedTexts):
        """Labels for tokens; most of the first examples have none."""

        def batch(self, rows):
            batch = super().batch(rows)
            labels = np.where(batch["attention_mask"] == 1, batch["input_ids"] % 2, -100)
            labels[np.asarray(rows) % 3 > 0, 2:] = -100
            return {**batch, "labels": labels}

    source = examples(16)
    tokens = Tokens(source.input_ids, source.token_type_ids, np.zeros(16, int))

    def run(size):
        model = bertnp.BertForTokenClassification(tiny_classifier(**DROPOUT).config, seed=1, dtype=np.float64)
        return train(tokens, model=model, micro_batch_size=size)

    whole, cut = run(None), run(3)
    assert np.abs(weights(whole) - weights(cut)).max() < 1e-12 * np.abs(weights(whole)).max()
    assert whole.record["history"][0]["train_loss"] == pytest.approx(cut.record["history"][0]["train_loss"], rel=1e-12)


def test_a_step_is_forward_backward_clipping_schedule_and_update():
    train_set = examples(20)
    trainer = train(train_set, model=tiny_classifier(), seed=5, clip=0.05, warmup=2, weight_decay=0.1, epochs=2)

    model = tiny_classifier().train()
    model.dropout_streams.seed, model.dropout_streams.hold = 5, True
    optimizer = bertnp.AdamW(model, weight_decay=0.1)
    step = 0
    for epoch in range(2):
        order = np.random.default_rng([5, epoch]).permutation(20)
        for rows in (order[:8], order[8:16], order[16:]):
            model.dropout_streams.step = step
            model.zero_grad()
            model(**train_set.batch(rows))
            model.backward()
            optimizer.lr = 1e-3 * (step / 2 if step < 2 else (6 - step) / 4)
            scale, norm = bertnp.clip_grad_norm(model, 0.05)
            assert norm > 0.05  # so that clipping is tested
            optimizer.step(scale)
            step += 1
    assert weights(trainer).tobytes() == model.buffer.data.tobytes()
    assert trainer.step == trainer.total_steps == step == 6


def test_it_trains_on_any_device(device):
    model = tiny_classifier(**DROPOUT).to(device)
    trainer = train(examples(20), examples(8, 1), model=model, micro_batch_size=3)
    expected = train(examples(20), examples(8, 1), micro_batch_size=3)
    assert trainer.record["settings"]["device"] == device
    assert np.abs(weights(trainer) - weights(expected)).max() < 1e-5
    assert trainer.best_logits.shape == (8, 2) and isinstance(trainer.best_logits, np.ndarray)


def scripted(values, **options):
    """A trainer whose held-out accuracy follows a script, and the weights after each epoch."""
    seen, values = [], iter(values)

    class Look(Callback):
        def evaluated(self, trainer, epoch):
            seen.append(weights(trainer).copy())

    def metrics(logits, labels):
        return {"accuracy": next(values)}

    options = {"epochs": 4, "metrics": metrics, "best_by": "accuracy", "callbacks": [Look()], **options}
    return train(examples(16), examples(8, 1), **options), seen


def test_the_model_ends_with_the_weights_of_its_best_epoch(tmp_path):
    trainer, seen = scripted([0.5, 0.8, 0.7, 0.8], output=tmp_path, tokenizer=tiny_tokenizer())
    assert trainer.record["best"]["epoch"] == 2  # of equals, the first
    assert weights(trainer).tobytes() == seen[1].tobytes() != seen[3].tobytes()
    kept = bertnp.BertForSequenceClassification.from_pretrained(tmp_path)
    assert kept.load_report.complete and kept.buffer.data.tobytes() == seen[1].tobytes()
    assert bertnp.BertTokenizer.from_pretrained(tmp_path).tokenize("the film") == ["the", "film"]
    logits, _ = predict_logits(kept, examples(8, 1))
    assert np.array_equal(trainer.best_logits, logits)


@pytest.mark.parametrize(
    ("values", "patience", "epochs"),
    [([0.5, 0.4, 0.6, 0.5], 1, 2), ([0.5, 0.4, 0.6, 0.5], 2, 4), ([0.5, 0.6, 0.7, 0.8], 1, 4), ([None] * 4, 2, 3)],
)
def test_patience_ends_training_early(values, patience, epochs):
    trainer, seen = scripted(values, patience=patience)
    assert len(trainer.record["history"]) == len(seen) == epochs
    assert trainer.record["ended"] == ("finished" if epochs == 4 else "early stopping")


def test_the_best_epoch_may_be_that_of_the_smallest_loss():
    trainer = train(examples(64), examples(32, 1), lr=1e-2, epochs=4, best_by="loss")
    losses = [epoch["held_out"]["loss"] for epoch in trainer.record["history"]]
    assert trainer.record["best"]["loss"] == min(losses)
    assert trainer.record["best"]["epoch"] == losses.index(min(losses)) + 1


def test_without_evaluation_the_last_epoch_is_kept(tmp_path):
    trainer = train(examples(16), output=tmp_path)
    assert trainer.record["best"] == {"epoch": 2, "step": 4}
    assert trainer.record["history"][0]["held_out"] is None
    assert bertnp.BertForSequenceClassification.from_pretrained(tmp_path).buffer.data.tobytes() == (
        weights(trainer).tobytes()
    )


def test_the_record_says_what_was_done(tmp_path):
    trainer = train(examples(20), examples(8, 1), output=tmp_path, seed=7, settings={"data": "toy"})
    record = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert record == trainer.record
    settings = record["settings"]
    assert settings["seed"] == 7 and settings["steps"] == 6 and settings["warmup_steps"] == 1
    assert settings["data"] == "toy" and settings["train_examples"] == 20 and settings["held_out_examples"] == 8
    assert [epoch["step"] for epoch in record["history"]] == [3, 6]
    assert record["history"][0]["tokens"] == examples(20).lengths.sum()
    assert set(record["history"][0]["held_out"]) == {"loss", "accuracy", "f1", "f1_macro", "matthews"}
    assert record["ended"] == "finished"
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".tmp"]


def test_numpy_numbers_and_undefined_metrics_can_be_written(tmp_path):
    def metrics(logits, labels):
        return {"largest": logits.max(), "undefined": float("nan")}

    options = {"metrics": metrics, "best_by": "undefined", "epochs": np.int64(2), "output": tmp_path}
    trainer = train(examples(16), examples(8, 1), **options)
    record = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert record["settings"]["epochs"] == 2
    assert record["history"][0]["held_out"]["undefined"] is None
    assert record["history"][0]["held_out"]["largest"] == trainer.record["history"][0]["held_out"]["largest"]
    assert record["best"]["epoch"] == 1


def test_the_train_loss_is_the_mean_over_the_examples():
    class Losses(Callback):
        def __init__(self):
            self.losses = []

        def step_end(self, trainer):
            if trainer.loss is not None:
                self.losses.append(trainer.loss)

    look = Losses()
    trainer = train(examples(18), epochs=1, callbacks=[look], lr=0.0)
    # The model stays as it is, so the losses of the three batches (8, 8 and 2 examples) can be had again.
    model, streams = trainer.model.train(), trainer.model.dropout_streams
    streams.hold = True
    expected = []
    for step, rows in enumerate(np.split(epoch_order(18, 0, 0), [8, 16])):
        streams.step = step
        expected.append(float(model(**examples(18).batch(rows)).loss))
    assert look.losses == expected[:2]  # each is read one step late
    mean = np.average(expected, weights=[8, 8, 2])
    assert trainer.record["history"][0]["train_loss"] == pytest.approx(mean, rel=1e-7)


def test_a_loss_that_is_not_finite_stops_training_and_names_the_batch_and_the_last_good_model(tmp_path):
    labels = np.zeros(20)
    labels[13] = 1e300
    second = next(i for i, rows in enumerate(np.split(epoch_order(20, 0, 0), [8, 16])) if 13 in rows)
    rows = ", ".join(map(str, np.split(epoch_order(20, 0, 0), [8, 16])[second]))
    with pytest.raises(FloatingPointError) as raised:
        train(examples(20, labels=labels), model=tiny_classifier(num_labels=1), output=tmp_path / "a")
    assert f"the loss is inf at step {second + 1}, training rows {rows} (counted from 0)" in str(raised.value)
    assert "no evaluation was reached, so there is no good model" in str(raised.value)
    assert not (tmp_path / "a").exists()


def test_weights_that_break_later_leave_the_last_good_model(tmp_path):
    class Breaks(Callback):
        def evaluated(self, trainer, epoch):
            if epoch["epoch"] == 1:
                self.kept = weights(trainer).copy()
            else:
                trainer.model.buffer.data[...] = np.nan

    breaks = Breaks()
    model = tiny_classifier()
    with pytest.raises(FloatingPointError) as raised:
        train(examples(64), examples(8, 1), model=model, output=tmp_path, callbacks=[breaks], epochs=3, lr=1e-2,
              metrics=lambda logits, labels: {"accuracy": 0.5}, best_by="accuracy")  # fmt: skip
    message = str(raised.value)
    assert "the loss is nan at step 17," in message
    assert f"the last good model, of epoch 1, is in {tmp_path}, the last good checkpoint in" in message
    assert model.buffer.data.tobytes() == breaks.kept.tobytes()
    saved = bertnp.BertForSequenceClassification.from_pretrained(tmp_path)
    assert saved.buffer.data.tobytes() == breaks.kept.tobytes()
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))["ended"] == "failed"


def test_a_held_out_loss_that_is_not_finite_is_never_kept(tmp_path):
    held_out = examples(8, labels=[1e300] * 8)
    with pytest.raises(FloatingPointError, match="the held-out loss is inf after step 3"):
        train(examples(20, labels=[0.5] * 20), held_out, model=tiny_classifier(num_labels=1), output=tmp_path / "a")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["metrics.jsonl"]


def test_ctrl_c_keeps_what_was_reached(tmp_path):
    class Interrupt(Callback):
        ended = None

        def step_end(self, trainer):
            if trainer.step == 4:
                raise KeyboardInterrupt

        def evaluated(self, trainer, epoch):
            self.kept = weights(trainer).copy()

        def end(self, trainer):
            self.ended = trainer.record["ended"]

    look, model = Interrupt(), tiny_classifier(**DROPOUT)
    with pytest.raises(KeyboardInterrupt):
        train(examples(20), examples(8, 1), model=model, output=tmp_path, callbacks=[look])
    assert look.ended == "interrupted" and not model.training and not model.dropout_streams.hold
    assert model.buffer.data.tobytes() == look.kept.tobytes()
    record = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert record["ended"] == "interrupted" and len(record["history"]) == 1


def test_evaluation_does_not_depend_on_the_batches_and_turns_dropout_off():
    model = tiny_classifier(dtype=np.float64, **DROPOUT).train()
    held_out = examples(30)
    logits, loss = predict_logits(model, held_out, batch_size=7)
    alone = np.concatenate([predict_logits(model, one)[0] for one in singles(held_out)])
    assert np.abs(logits - alone).max() < 1e-12
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert loss == pytest.approx(-log_p[np.arange(30), held_out.labels].mean(), rel=1e-12)
    assert model.training


def singles(held_out):
    for i in range(len(held_out)):
        yield EncodedTexts([held_out.input_ids[i]], [held_out.token_type_ids[i]], held_out.labels[i : i + 1])


def test_evaluation_needs_labels_and_examples():
    with pytest.raises(ValueError, match="evaluation needs labels"):
        evaluate(tiny_classifier(), encode_texts(tiny_tokenizer(), ["the film"]))
    with pytest.raises(ValueError, match="no examples"):
        predict_logits(tiny_classifier(), encode_texts(tiny_tokenizer(), []))


@pytest.mark.parametrize(
    ("warmup", "total", "steps"),
    [(0.1, 900, 90), (0.07, 100, 7), (0.1, 71, 8), (0, 50, 0), (0.0, 50, 0), (5, 50, 5), (1.0, 50, 1), (0.5, 3, 2)],
)
def test_warmup_is_a_share_rounded_up_or_a_number_of_steps(warmup, total, steps):
    assert warmup_steps(warmup, total) == steps


@pytest.mark.parametrize("warmup", [-0.1, 1.5, math.nan])
def test_other_warmups_make_no_sense(warmup):
    with pytest.raises(ValueError, match="warmup: expected a share below 1 or a whole number of steps"):
        warmup_steps(warmup, 100)


def test_schedules_by_name_and_by_function():
    assert [make_schedule("linear", 10, 2)(step) for step in (0, 1, 2, 6, 10)] == [0.0, 0.5, 1.0, 0.5, 0.0]
    assert make_schedule("google", 10, 2)(2) == 0.8
    assert make_schedule("constant", 10, 2)(7) == 1.0
    assert make_schedule("inverse_sqrt", 10, 4)(16) == 0.5
    assert make_schedule(lambda step: step / 4, 10, 2)(3) == 0.75
    for name in ("newton", "step"):
        with pytest.raises(ValueError, match="schedule: expected constant, linear, google"):
            make_schedule(name, 10, 2)


def test_optimizers_by_name_and_by_hand():
    model = tiny_classifier()
    adamw, adam, google = (make_optimizer(name, model, 1e-4, 0.01) for name in ("adamw", "adam", "google"))
    assert (adamw.weight_decay, adamw.eps, adamw.bias_correction) == (0.01, 1e-8, True)
    assert (adam.weight_decay, adam.eps, adam.bias_correction) == (0.0, 1e-8, True)
    assert (google.weight_decay, google.eps, google.bias_correction) == (0.01, 1e-6, False)
    assert make_optimizer(adam, model, 1.0, 0.5) is adam
    with pytest.raises(ValueError, match="optimizer: expected adamw, adam, google, got 'sgd'"):
        make_optimizer("sgd", model, 1e-4, 0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs: expected a whole number of at least 1, got 0"),
        ({"batch_size": 2.5}, "batch_size: expected a whole number of at least 1, got 2.5"),
        ({"micro_batch_size": -1}, "micro_batch_size: expected a whole number of at least 1, got -1"),
        ({"patience": 0}, "patience: expected a whole number of at least 1, got 0"),
        ({"seed": -1}, "seed: expected a whole number of at least 0, got -1"),
        ({"clip": 0}, "clip: expected a positive number or None, got 0"),
        ({"lr": -1.0}, "lr: expected a number of at least 0, got -1.0"),
        ({"best_by": "recall"}, "there are loss, accuracy, f1, f1_macro, matthews"),
    ],
)
def test_settings_that_make_no_sense_are_named(options, message):
    with pytest.raises(ValueError) as raised:
        Trainer(tiny_classifier(), examples(8), examples(8), **options)
    assert message in str(raised.value)


def test_metrics_of_ones_own_may_say_what_is_best():
    trainer = train(examples(16), examples(8, 1), metrics=lambda logits, labels: {"mean": float(logits.mean())})
    assert set(trainer.record["history"][0]["held_out"]) == {"loss", "mean"} and trainer.best_by == "loss"
    with pytest.raises(ValueError, match="best_by: there is no metric 'median'; there are loss, mean"):
        train(examples(16), examples(8, 1), metrics=lambda logits, labels: {"mean": 1.0}, best_by="median")


def test_a_set_needs_examples_and_labels():
    with pytest.raises(ValueError, match="the training set is empty"):
        train(encode_texts(tiny_tokenizer(), []))
    with pytest.raises(ValueError, match="the evaluation set is empty"):
        train(examples(8), encode_texts(tiny_tokenizer(), []))
    with pytest.raises(ValueError, match="no labels"):
        train(encode_texts(tiny_tokenizer(), ["the film"]))


def test_epochs_are_told_in_lines_and_the_bar_keeps_off_files():
    lines, bar = io.StringIO(), io.StringIO()
    train(examples(16), examples(8, 1), callbacks=[EvaluationLines(lines), ProgressBar(bar)])
    first, second = lines.getvalue().splitlines()
    assert first.startswith("epoch 1/2  loss 0.") and "held out: loss 0." in first and "tokens/s" in first
    assert second.startswith("epoch 2/2")
    assert bar.getvalue() == ""


def test_the_bar_shows_loss_learning_rate_and_speed_on_a_terminal():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    bar = Terminal()
    train(examples(16), callbacks=[ProgressBar(bar, interval=0)], epochs=1, batch_size=2)
    assert "epoch 1/1" in bar.getvalue() and "loss" in bar.getvalue() and "tokens/s" in bar.getvalue()
