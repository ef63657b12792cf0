"""The training loop."""

import inspect
import json
import math
import time
from pathlib import Path

import numpy as np

from bertnp.backend import to_numpy
from bertnp.backend.files import write_text
from bertnp.data import batches, epoch_order, labelled_items
from bertnp.optim import SCHEDULES, Adam, AdamW, clip_grad_norm
from bertnp.training.evaluation import predict_logits
from bertnp.training.metrics import metric_names, metrics_for

METRICS_FILE = "metrics.json"
OPTIMIZERS = ("adamw", "adam", "google")
LOWER_IS_BETTER = ("loss", "rmse")


class Trainer:
    """Fits a model to a labelled set, keeps its best state and reports how it went.

        trainer = Trainer(model, examples, held_out, epochs=3, batch_size=32, lr=5e-5, seed=0)
        record = trainer.train()

    A step: for each batch forward, backward, clipping, the schedule's learning rate, the optimiser. Epoch e sees the
    examples in the order numpy.random.default_rng([seed, e]).permutation(n). After each epoch the model is evaluated;
    at the end it holds the weights of the best epoch. The same seed gives the same bytes.

    model: forward takes what examples.batch gives, and its output has a loss
    train, evaluation: sets with `len`, `batch(rows)`, `labels` and `lengths`, such as `bertnp.data.EncodedTexts`;
      without `evaluation` the last epoch is the best
    epochs, batch_size: how often each example is seen, and how many of them make a step (the last batch may be short)
    micro_batch_size: cut each batch into pieces of at most so many examples, one after the other through the model, to
      save memory. The step is the same: each piece's mean loss weighs as much as its share of the batch's labelled
      items, and dropout depends on an example's place in the whole batch
    lr, optimizer, weight_decay: optimizer is "adamw", "adam" (no decay), "google" (AdamW without bias correction and
      with ε = 1e-6), or an optimiser already made for this model
    schedule, warmup: a name in `bertnp.optim.SCHEDULES`, or a function of the step (0, 1, ...) that gives the factor
      of lr; warmup is a number of steps, or, below 1, a share of all steps, rounded up
    clip: longest allowed gradient, all parameters together; None: no clipping
    seed: of the order of the examples and of dropout
    metrics: function of (logits, labels) that gives {name: number, or None if undefined}; None: what suits the labels
    best_by: which of these, or "loss", says which epoch is best; None: accuracy or Pearson's correlation, and with
      metrics of your own the loss
    patience: stop after so many epochs without a better one; None: never
    output, tokenizer: the folder where the best model, with its tokenizer, and metrics.json are kept, written anew at
      each epoch's end; None: nothing is written
    callbacks: see `bertnp.training.Callback`   settings: more entries for the record's settings

    ValueError or TypeError: an argument that makes no sense. FloatingPointError: the loss is no longer finite.
    """

    def __init__(
        self,
        model,
        train,
        evaluation=None,
        *,
        epochs=3,
        batch_size=32,
        micro_batch_size=None,
        lr=5e-5,
        optimizer="adamw",
        weight_decay=0.01,
        schedule="linear",
        warmup=0.1,
        clip=1.0,
        seed=0,
        metrics=None,
        best_by=None,
        patience=None,
        evaluation_batch_size=64,
        output=None,
        tokenizer=None,
        callbacks=(),
        settings=None,
    ):
        counts = {"epochs": epochs, "batch_size": batch_size, "evaluation_batch_size": evaluation_batch_size}
        optional = {"micro_batch_size": micro_batch_size, "patience": patience}
        for name, value in {**counts, **{k: v for k, v in optional.items() if v is not None}}.items():
            if not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"{name}: expected a whole number of at least 1, got {value!r}")
        if not isinstance(seed, (int, np.integer)) or seed < 0:
            raise ValueError(f"seed: expected a whole number of at least 0, got {seed!r}")
        if clip is not None and not clip > 0:
            raise ValueError(f"clip: expected a positive number or None, got {clip!r}")
        if len(train) == 0:
            raise ValueError("the training set is empty")
        if evaluation is not None and len(evaluation) == 0:
            raise ValueError("the evaluation set is empty")
        self.model = model
        self.train_set = train
        self.evaluation_set = evaluation
        self.epochs = epochs
        self.batch_size = batch_size
        self.micro_batch_size = micro_batch_size or batch_size
        self.evaluation_batch_size = evaluation_batch_size
        self.base_lr = lr
        self.clip = clip
        self.seed = seed
        self.patience = patience
        self.output = None if output is None else Path(output)
        self.tokenizer = tokenizer
        self.callbacks = list(callbacks)
        self.steps_per_epoch = -(-len(train) // batch_size)
        self.total_steps = epochs * self.steps_per_epoch
        self.warmup = warmup_steps(warmup, self.total_steps)
        self.schedule = make_schedule(schedule, self.total_steps, self.warmup)
        self.optimizer = make_optimizer(optimizer, model, lr, weight_decay)
        self.metrics = metrics
        self.best_by = best_by
        if evaluation is not None:
            self.metrics = metrics or metrics_for(evaluation.labels)
            names = [] if metrics else metric_names(self.metrics, model.config.num_labels)
            self.best_by = best_by or ([*names, "loss"])[0]
            if names:
                self.check_best_by(["loss", *names])
        self.step = self.epoch = 0  # those done
        self.loss = None  # the last one that was read
        self.tokens = 0  # of this epoch's steps so far
        self.best_logits = None  # of the evaluation set, at the best epoch
        self._best_weights = None
        self._epoch_began = None
        self.record = {
            "settings": {
                "model": type(model).__name__,
                "parameters": model.num_parameters(),
                "dtype": np.dtype(model.dtype).name,
                "device": model.device,
                "optimizer": optimizer if isinstance(optimizer, str) else type(optimizer).__name__,
                "lr": lr,
                "weight_decay": self.optimizer.weight_decay,
                "schedule": schedule if isinstance(schedule, str) else getattr(schedule, "__name__", "function"),
                "warmup_steps": self.warmup,
                "clip": clip,
                "epochs": epochs,
                "batch_size": batch_size,
                "micro_batch_size": self.micro_batch_size,
                "steps": self.total_steps,
                "seed": int(seed),
                "train_examples": len(train),
                "held_out_examples": 0 if evaluation is None else len(evaluation),
                "best_by": self.best_by,
                "patience": patience,
                **(settings or {}),
            },
            "epochs": [],
            "best": None,
            "ended": "not yet",
        }

    # the loop

    def train(self):
        """Run the epochs that are left; returns the record, which metrics.json holds.

        {"settings": ..., "epochs": [{"epoch", "train_loss", "held_out": {"loss", metrics}, "seconds", ...}],
        "best": {"epoch", metrics}, "ended": "finished", "early stopping", "interrupted" or "failed"}
        """
        streams = self.model.dropout_streams
        before = streams.hold, streams.first_example
        streams.seed, streams.hold = self.seed, True
        self.record["ended"] = "failed"  # unless one of the lines below is reached
        try:
            self._call("start")
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # the loss is looked at instead
                while self.epoch < self.epochs and not self.out_of_patience():
                    self.train_epoch()
            self.record["ended"] = "finished" if self.epoch == self.epochs else "early stopping"
        except KeyboardInterrupt:
            self.record["ended"] = "interrupted"
            raise
        finally:
            streams.hold, streams.first_example = before
            self.model.eval()
            self.restore_best()
            self._call("end")
            if self.record["epochs"]:
                self.write_record()
        return self.record

    def train_epoch(self):
        """Go through the training set once, evaluate, and keep the model if it is the best so far."""
        self.model.train()
        self._epoch_began, self.tokens = time.perf_counter(), 0
        total_loss = total_items = 0
        unread = None

        def read():
            nonlocal total_loss, total_items
            loss, items, rows, step = unread
            self.loss = float(to_numpy(loss))
            if not math.isfinite(self.loss):
                shown = ", ".join(map(str, rows.tolist()))
                self.stop(f"the loss is {self.loss} at step {step + 1}, training rows {shown} (counted from 0)")
            total_loss += self.loss * items
            total_items += items

        for rows in batches(epoch_order(len(self.train_set), self.seed, self.epoch), self.batch_size):
            loss, items = self.train_step(rows)
            if unread:
                read()  # the loss of the step before: a device has worked on meanwhile
            unread = loss, items, rows, self.step - 1
            self._call("step_end")
        read()
        seconds = self.train_seconds()
        self.finish_epoch(total_loss / max(total_items, 1), seconds)

    def train_step(self, rows):
        """One step on the examples of these rows; returns its mean loss, still on the device, and how many
        labelled items that is the mean of.
        """
        streams = self.model.dropout_streams
        streams.step, streams.first_example = self.step, 0
        self.optimizer.zero_grad()
        pieces = [self.train_set.batch(part) for part in batches(rows, self.micro_batch_size)]
        items = [labelled_items(piece) for piece in pieces]
        total = max(sum(items), 1)
        loss = 0.0
        for piece, count in zip(pieces, items, strict=True):
            share = count / total
            out = self.model(**piece)
            self.model.backward(scale=share)
            loss = loss + out.loss * share
            streams.first_example += math.prod(piece["input_ids"].shape[:-1])
            self.tokens += int(piece["attention_mask"].sum())
        self.optimizer.lr = self.base_lr * self.schedule(self.step)
        scale = 1.0 if self.clip is None else clip_grad_norm(self.model, self.clip)[0]
        self.optimizer.step(scale)
        self.step += 1
        return loss, total

    def train_seconds(self):
        """Seconds since this epoch's first step began."""
        return time.perf_counter() - self._epoch_began

    def finish_epoch(self, train_loss, seconds):
        """Evaluate, note the epoch in the record, and keep the model if it is the best so far."""
        self.model.eval()
        held_out = logits = None
        if self.evaluation_set is not None:
            logits, held_out = self.evaluate()
            if not math.isfinite(held_out["loss"]):
                self.stop(f"the held-out loss is {held_out['loss']} after step {self.step}")
        self.epoch += 1
        entry = {
            "epoch": self.epoch,
            "step": self.step,
            "train_loss": train_loss,
            "held_out": held_out,
            "lr": self.optimizer.lr,
            "tokens": self.tokens,
            "seconds": round(seconds, 3),
            "tokens_per_second": round(self.tokens / max(seconds, 1e-9), 1),
        }
        if self.is_better(held_out):
            self.keep_best(entry, logits)
        self.record["epochs"].append(entry)
        self.write_record()
        self._call("epoch_end", entry)

    # evaluation, and the best epoch

    def evaluate(self):
        """The logits of the evaluation set, and its loss and metrics: {"loss": ..., "accuracy": ..., ...}."""
        logits, loss = predict_logits(self.model, self.evaluation_set, self.evaluation_batch_size)
        scores = self.metrics(logits, self.evaluation_set.labels)
        defined = {name: None if value is None or not math.isfinite(value) else value for name, value in scores.items()}
        return logits, {"loss": loss, **defined}

    def check_best_by(self, names):
        if self.best_by not in names:
            raise ValueError(f"best_by: there is no metric {self.best_by!r}; there are {', '.join(names)}")

    def score(self, held_out):
        """What epochs are compared by: larger is better, and an undefined metric is worse than any."""
        self.check_best_by(held_out)
        value = held_out[self.best_by]
        if value is None:
            return -math.inf
        return -value if self.best_by in LOWER_IS_BETTER else value

    def is_better(self, held_out):
        """Whether this epoch is better than all before; without evaluation, the last one counts as the best."""
        if held_out is None:
            return True
        score = self.score(held_out)
        return self.record["best"] is None or score > self.score(self.record["best"])

    def out_of_patience(self):
        best = self.record["best"]["epoch"] if self.record["best"] else 0
        return self.patience is not None and self.epoch - best >= self.patience

    def keep_best(self, entry, logits):
        """Remember the weights as they are now and, where there is a folder for it, write the model there."""
        self.record["best"] = {"epoch": entry["epoch"], **(entry["held_out"] or {})}
        self.best_logits = logits
        self._best_weights = self.model.buffer.data.copy()
        if self.output is not None:
            self.model.save_pretrained(self.output)
            if self.tokenizer is not None:
                self.tokenizer.save_pretrained(self.output)

    def restore_best(self):
        """Give the model the weights of its best epoch, if an epoch was finished."""
        if self._best_weights is not None:
            self.model.buffer.data[...] = self._best_weights
            self.model.buffer.version += 1

    # reports

    def write_record(self):
        if self.output is not None:
            self.output.mkdir(parents=True, exist_ok=True)
            write_text(self.output / METRICS_FILE, json.dumps(self.record, indent=2, default=as_number) + "\n")

    def stop(self, what):
        """Raise FloatingPointError saying what is wrong and where the last good model is."""
        if self.record["best"] is None:
            good = "no epoch was finished, so there is no good checkpoint"
        else:
            where = self.output or "the model itself"
            good = f"the last good checkpoint, of epoch {self.record['best']['epoch']}, is in {where}"
        raise FloatingPointError(f"{what}: training can't go on (try a smaller learning rate); {good}")

    def _call(self, moment, *more):
        for callback in self.callbacks:
            getattr(callback, moment)(self, *more)


def as_number(value):
    """A NumPy number as Python's own, which JSON can hold."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} can't be written as JSON")


def warmup_steps(warmup, total):
    """warmup steps: the number itself or, below 1, that share of all steps, rounded up."""
    if not warmup >= 0 or (warmup >= 1 and warmup != int(warmup)):
        raise ValueError(f"warmup: expected a share below 1 or a whole number of steps, got {warmup!r}")
    return int(warmup) if warmup >= 1 else math.ceil(round(warmup * total, 6))  # 0.07 · 100 is 7.000000000000001


def make_schedule(schedule, total, warmup):
    """The factor of the learning rate as a function of the step (0, 1, ...)."""
    if callable(schedule):
        return schedule
    if schedule not in SCHEDULES or schedule == "noam":
        known = ", ".join(name for name in SCHEDULES if name != "noam")
        raise ValueError(f"schedule: expected {known} or a function of the step, got {schedule!r}")
    takes = inspect.signature(SCHEDULES[schedule]).parameters
    given = {name: value for name, value in (("total", total), ("warmup", warmup)) if name in takes}
    return lambda step: SCHEDULES[schedule](step, **given)


def make_optimizer(optimizer, model, lr, weight_decay):
    """The optimiser of that name for the model; one already made is given back."""
    if not isinstance(optimizer, str):
        return optimizer
    if optimizer == "adamw":
        return AdamW(model, lr, weight_decay=weight_decay)
    if optimizer == "adam":
        return Adam(model, lr)
    if optimizer == "google":
        return AdamW(model, lr, eps=1e-6, weight_decay=weight_decay, bias_correction=False)
    raise ValueError(f"optimizer: expected {', '.join(OPTIMIZERS)}, got {optimizer!r}")
