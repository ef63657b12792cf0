"""The training loop."""

import inspect
import json
import math
import re
import time
from pathlib import Path

import numpy as np

from bertnp.backend import to_numpy
from bertnp.backend.files import remove_leftovers, write_text
from bertnp.data import batches, epoch_order, grouped_order, labelled_items
from bertnp.models.configuration import CONFIG_FILE
from bertnp.models.heads import MaskedWords
from bertnp.optim import SCHEDULES, Adam, AdamW, clip_grad_norm
from bertnp.training.checkpoints import (
    checkpoints,
    differences,
    environment,
    read_checkpoint,
    remove_checkpoints,
    write_checkpoint,
)
from bertnp.training.evaluation import evaluate_pretraining, predict_logits
from bertnp.training.interruption import Stopped, stop_requests
from bertnp.training.metrics import metric_names, metrics_for
from bertnp.training.processes import ALONE
from bertnp.training.running import RunningMeans

METRICS_FILE = "metrics.json"
LOG_FILE = "metrics.jsonl"
OPTIMIZERS = ("adamw", "adam", "google")
LOWER_IS_BETTER = ("loss", "rmse", "masked_lm_loss", "next_sentence_loss")


class Trainer:
    """Fits a model to a labelled set, keeps its best state and reports how it went. Fine-tunes and pre-trains.

        trainer = Trainer(model, examples, held_out, epochs=3, batch_size=32, lr=5e-5, seed=0)
        record = trainer.train()

    A step: for each batch forward, backward, clipping, the schedule's learning rate, the optimiser. Epoch e sees the
    examples in the order numpy.random.default_rng([seed, e]).permutation(n). After each epoch, or every so many steps,
    the model is evaluated; at the end it holds the weights of the best evaluation. The same seed gives the same bytes,
    whether or not the training was stopped and resumed in between.

    model: forward takes what examples.batch gives, and its output has a loss
    train, evaluation: sets with `len`, `batch(rows)`, `labels` and `lengths`, such as `bertnp.data.EncodedTexts` or
      `bertnp.data.PretrainingInstances`; without `evaluation` the last state is the best. A set that draws random
      numbers has `state_dict` and `load_state_dict`, so that checkpoints can keep its place
    epochs or steps: how often each example is seen (default 3), or how many steps are made
    batch_size: how many examples make a step (the last batch of an epoch may be short)
    micro_batch_size: cut each batch into pieces of at most so many examples, one after the other through the model, to
      save memory. The step is the same: each piece's mean loss weighs as much as its share of the batch's labelled
      items, and dropout depends on an example's place in the whole batch
    lr, optimizer, weight_decay: optimizer is "adamw", "adam" (no decay), "google" (AdamW without bias correction and
      with ε = 1e-6), or an optimiser already made for this model
    schedule, warmup: a name in `bertnp.optim.SCHEDULES`, or a function of the step (0, 1, ...) that gives the factor
      of lr; warmup is a number of steps, or, below 1, a share of all steps, rounded up
    layer_decay: each layer's learning rate is this times that of the layer above it; head and pooler have lr itself
    freeze: the embeddings and so many layers learn nothing (0: the embeddings alone); None: all learn
    group_by_length: put examples of like length into one batch: less padding, but batches are less mixed
    clip: longest allowed gradient, all parameters together; None: no clipping
    seed: of the order of the examples and of dropout
    metrics: function of (logits, labels) that gives {name: number, or None if undefined}, with `names`, if it has them,
      of which the first says what is best; None: what suits the labels
    evaluator: function of (model, evaluation set, batch size) that gives {"loss": number, ...} in place of metrics, for
      what is no matter of logits alone
    best_by: which of these, or "loss", says what is best; None: accuracy or Pearson's correlation, and the loss with
      metrics or an evaluator of your own and where words are filled in
    patience: stop after so many evaluations without a better one; None: never
    evaluate_every: steps between two evaluations; None: an epoch's
    log_every: steps between two lines of the log
    output, tokenizer: a folder for the best model so far, with its tokenizer, for metrics.json (the record), for
      metrics.jsonl (the log) and for checkpoints; None: nothing is written
    checkpoint_every: steps between two checkpoints; None: one at each evaluation; 0: none at all
    keep: how many checkpoints stay; 0: those of a finished training are removed
    callbacks: see `bertnp.training.Callback`   settings: more entries for the record's settings
    processes: those that train together, `bertnp.training.processes.find()`: each makes a Trainer alike, and each takes
      its share of every batch and of every evaluation. The steps are those of one process. Only the first one writes
      and calls the callbacks

    ValueError or TypeError: an argument that makes no sense. FloatingPointError: the loss is no longer finite.
    """

    def __init__(
        self,
        model,
        train,
        evaluation=None,
        *,
        epochs=None,
        steps=None,
        batch_size=32,
        micro_batch_size=None,
        lr=5e-5,
        optimizer="adamw",
        weight_decay=0.01,
        schedule="linear",
        warmup=0.1,
        layer_decay=1.0,
        freeze=None,
        group_by_length=False,
        clip=1.0,
        seed=0,
        metrics=None,
        evaluator=None,
        best_by=None,
        patience=None,
        evaluate_every=None,
        evaluation_batch_size=64,
        log_every=10,
        output=None,
        tokenizer=None,
        checkpoint_every=None,
        keep=2,
        callbacks=(),
        settings=None,
        processes=ALONE,
    ):
        if epochs is not None and steps is not None:
            raise ValueError(f"give either epochs or steps, got epochs={epochs!r} and steps={steps!r}")
        if steps is None:
            epochs = 3 if epochs is None else epochs
        counts = {"batch_size": batch_size, "evaluation_batch_size": evaluation_batch_size, "log_every": log_every}
        optional = {"epochs": epochs, "steps": steps, "micro_batch_size": micro_batch_size, "patience": patience,
                    "evaluate_every": evaluate_every}  # fmt: skip
        for name, value in {**counts, **{k: v for k, v in optional.items() if v is not None}}.items():
            if not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"{name}: expected a whole number of at least 1, got {value!r}")
        for name, value in {"seed": seed, "keep": keep, "checkpoint_every": checkpoint_every or 0}.items():
            if not isinstance(value, (int, np.integer)) or value < 0:
                raise ValueError(f"{name}: expected a whole number of at least 0, got {value!r}")
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
        self.log_every = log_every
        self.output = None if output is None else Path(output)
        self.tokenizer = tokenizer
        self.keep = keep
        self.processes = processes
        self.callbacks = list(callbacks) if processes.first else []
        self.steps_per_epoch = -(-len(train) // batch_size)
        self.total_steps = int(steps or epochs * self.steps_per_epoch)
        self.evaluate_every = evaluate_every or self.steps_per_epoch
        self.checkpoint_every = self.evaluate_every if checkpoint_every is None else checkpoint_every
        self.warmup = warmup_steps(warmup, self.total_steps)
        self.schedule = make_schedule(schedule, self.total_steps, self.warmup, model.config.hidden_size)
        factors = layer_factors(model, layer_decay, freeze)
        self.optimizer = make_optimizer(optimizer, model, lr, weight_decay, factors)
        self.group_by_length = group_by_length
        self.class_weights = getattr(model, "class_weights", None)
        self.fills_in_words = isinstance(model, MaskedWords)
        self.metrics = metrics
        self.evaluator = evaluator
        self.best_by = best_by
        if evaluation is not None:
            self.choose_metrics(metrics)
        self._accepted = set(inspect.signature(model.forward).parameters)
        self.step = 0  # steps done
        self.loss = None  # the last one that was read
        self.since_log = RunningMeans()
        self.since_evaluation = RunningMeans()
        self.gradient_norm = None  # before clipping, of the last step that was read
        self.best_logits = None  # of the evaluation set, at the best evaluation
        self._best_weights = None
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
                "layer_decay": layer_decay,
                "freeze": freeze,
                "group_by_length": group_by_length,
                "clip": clip,
                "epochs": epochs,
                "batch_size": batch_size,
                "micro_batch_size": self.micro_batch_size,
                "steps": self.total_steps,
                "seed": int(seed),
                "train_examples": len(train),
                "held_out_examples": 0 if evaluation is None else len(evaluation),
                "evaluate_every": self.evaluate_every,
                "log_every": log_every,
                "best_by": self.best_by,
                "patience": patience,
                **(settings or {}),
            },
            "history": [],
            "best": None,
            "ended": "not yet",
        }

    @property
    def epoch(self):
        """How many epochs are done, a fraction in the middle of one."""
        return epochs_done(self.step, self.steps_per_epoch)

    @property
    def writes(self):
        """Whether this process writes into the output folder."""
        return self.output is not None and self.processes.first

    # the loop

    def train(self, resume=False):
        """Make the steps that are left; returns the record, which metrics.json holds.

        {"settings": ..., "history": [{"epoch", "step", "train_loss", "held_out": {"loss", metrics}, "seconds", ...}],
        "best": {"epoch", "step", metrics}, "ended": "not yet", "finished", "early stopping", "interrupted" or "failed"}

        resume: go on from the newest checkpoint in `output`, if there is one. ValueError if it is one of a training
        with other settings.

        Ctrl-C (or SIGTERM) lets the step end, writes a checkpoint and raises KeyboardInterrupt (Stopped); a second one
        stops at once.
        """
        streams = self.model.dropout_streams
        before = streams.hold, streams.first_example
        if resume:
            self.resume()
        self.begin_together()
        streams.seed, streams.hold = self.seed, True
        self.record["ended"] = "not yet"
        began = False
        try:
            self.begin_log()
            began = True
            self._call("start")
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # the loss is looked at instead
                with stop_requests(lambda: self._call("stopping")) as request:
                    self.make_steps(request)
                    self.record["ended"] = "early stopping" if self.step < self.total_steps else "finished"
                    self.write_record()  # what comes now may be interrupted: the training has ended all the same
                    if self.writes and self.keep == 0:
                        remove_checkpoints(self.output)
        except BaseException as error:
            if self.record["ended"] == "not yet":
                self.record["ended"] = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            raise
        finally:
            streams.hold, streams.first_example = before
            self.model.eval()
            self.restore_best()
            if began:
                self._call("end")
            if self.record["history"]:
                self.write_record()
        return self.record

    def make_steps(self, request):
        """One step after the other, with what is due after it: log, evaluation, checkpoint."""
        unread = None
        if self.out_of_patience():
            return
        self.model.train()
        for rows in self.remaining_batches():
            began = time.perf_counter()
            step = self.train_step(rows)
            if unread:
                self.read(*unread)  # the loss of the step before: a device has worked on meanwhile
            unread = step
            self.since_log.seconds += time.perf_counter() - began
            self._call("step_end")
            asked = any(self.processes.gather(request.asked))
            last = self.step == self.total_steps
            log, evaluate, save = (
                every > 0 and (last or self.step % every == 0)
                for every in (self.log_every, self.evaluate_every, self.checkpoint_every)
            )
            if log or evaluate or save or asked:
                began = time.perf_counter()
                self.read(*unread)
                unread = None
                self.since_log.seconds += time.perf_counter() - began
            if log or evaluate:
                self.write_log_line()
            if evaluate:
                self.report()
                self.model.train()
            over = self.out_of_patience()
            if self.checkpoint_every and (save or over or asked) and not (last and self.keep == 0):
                self.save_checkpoint()
            if asked and not last:
                raise Stopped
            if over:
                return

    def remaining_batches(self):
        """Row numbers of the batches that are still to be seen."""
        while self.step < self.total_steps:
            epoch, done = divmod(self.step, self.steps_per_epoch)
            if self.group_by_length:
                order = grouped_order(self.train_set.lengths, self.batch_size, self.seed, epoch)
            else:
                order = epoch_order(len(self.train_set), self.seed, epoch)
            for rows in batches(order[done * self.batch_size :], self.batch_size):
                if self.step == self.total_steps:
                    return
                yield rows

    def train_step(self, rows):
        """One step on the examples of these rows; returns what `read` takes, numbers of the device still among it."""
        streams = self.model.dropout_streams
        share = self.processes.share(len(rows))
        own = self.own_examples(rows, share)
        streams.step, streams.first_example = self.step, share.start * math.prod(own["input_ids"].shape[1:-1])
        self.optimizer.zero_grad()
        cuts = batches(np.arange(share.stop - share.start), self.micro_batch_size)
        pieces = [{name: values[cut] for name, values in own.items()} for cut in cuts]
        totals = self.processes.sum({"tokens": int(own["attention_mask"].sum()), **self.items(own)})
        self.since_log.tokens += totals.pop("tokens")
        sums = {}
        for piece in pieces:
            shares = {name: count / (totals[name] or 1) for name, count in self.items(piece).items()}
            out = self.model(**piece)
            for name, part in (out.parts or {"labels": None}).items():
                loss = (out.loss if part is None else part.loss) * shares[name]
                correct = None if part is None else part.correct()
                before = sums.get(name, (0.0, None if part is None else 0))
                sums[name] = before[0] + loss, None if part is None else before[1] + correct
            self.model.backward(scale=shares if len(shares) > 1 else shares["labels"])
            streams.first_example += math.prod(piece["input_ids"].shape[:-1])
        self.model.buffer.allocate_grad()  # a process without an example has made none
        self.processes.add_up(self.model.buffer.grad)
        self.optimizer.drop_frozen_gradients()
        self.optimizer.lr = self.base_lr * self.schedule(self.step)
        scale, norm = (1.0, None) if self.clip is None else clip_grad_norm(self.model, self.clip)
        self.optimizer.step(self.processes.from_first(scale))  # unlike processors may differ in its last bit
        self.step += 1
        return sums, totals, norm, rows, self.step

    def items(self, batch):
        """How many labelled items a batch has; see `labelled_items`."""
        return labelled_items(batch, self.class_weights)

    def own_examples(self, rows, share):
        """This process's examples of a batch, as the model takes them; perhaps none.

        A set that draws random numbers draws them for the whole batch in each process, so that all draw the same.
        """
        if hasattr(self.train_set, "state_dict"):
            batch, part = self.train_set.batch(rows), share
        elif len(rows[share]):
            batch, part = self.train_set.batch(rows[share]), slice(None)
        else:
            batch, part = self.train_set.batch(rows[:1]), slice(0)  # what arrays there are
        return {name: values[part] for name, values in batch.items() if name in self._accepted}

    def read(self, sums, totals, norm, rows, step):
        """Look at a step's loss: add it up, or stop if it isn't finite."""
        own = {}
        for name in totals:
            loss, correct = sums.get(name, (0.0, None))
            own[f"{name} loss"] = float(to_numpy(loss))
            own[f"{name} correct"] = None if correct is None else int(to_numpy(correct))
        every = self.processes.sum(own)
        parts = {name: (every[f"{name} loss"], totals[name], every[f"{name} correct"]) for name in totals}
        self.loss = sum(loss for loss, _, _ in parts.values())
        self.gradient_norm = None if norm is None else float(to_numpy(norm))
        if not math.isfinite(self.loss):
            shown = ", ".join(map(str, rows.tolist()))
            self.stop(f"the loss is {self.loss} at step {step}, training rows {shown} (counted from 0)")
        self.since_log.add(parts)

    def report(self):
        """Evaluate, note it in the record and the log, and keep the model if it is the best so far."""
        self._call("evaluation_start")
        self.model.eval()
        held_out = logits = None
        if self.evaluation_set is not None:
            logits, held_out = self.evaluate()
            if not math.isfinite(held_out["loss"]):
                self.stop(f"the held-out loss is {held_out['loss']} after step {self.step}")
        means = self.since_evaluation
        entry = {
            "epoch": self.epoch,
            "step": self.step,
            "train_loss": means.loss(),
            "held_out": held_out,
            "lr": self.optimizer.lr,
            "tokens": means.tokens,
            "seconds": round(means.seconds, 3),
            "tokens_per_second": round(means.tokens_per_second(), 1),
        }
        if self.is_better(held_out):
            self.keep_best(entry, logits)
        self.record["history"].append(entry)
        self.since_evaluation = RunningMeans()
        self.write_record()
        self.add_to_log({"step": self.step, "epoch": self.epoch, "held_out": held_out,
                         "best": self.record["best"]["step"] == self.step})  # fmt: skip
        self._call("evaluated", entry)

    # evaluation, and the best one

    def choose_metrics(self, metrics):
        """Which metrics are worked out, and which says what is best."""
        if self.fills_in_words or self.evaluator:
            self.best_by = self.best_by or "loss"
            return
        self.metrics = metrics or metrics_for(self.evaluation_set.labels)
        if metrics:
            names = getattr(metrics, "names", [])
        else:
            names = metric_names(self.metrics, self.model.config.num_labels)
        self.best_by = self.best_by or ([*names, "loss"])[0]
        if names:
            self.check_best_by(["loss", *names])

    def evaluate(self):
        """The logits of the evaluation set (None where words are filled in), and its loss and metrics:
        {"loss": ..., "accuracy": ..., ...}.
        """
        if self.evaluator:
            return None, self.evaluator(self.model, self.evaluation_set, self.evaluation_batch_size)
        what = self.model, self.evaluation_set, self.evaluation_batch_size, self.processes
        if self.fills_in_words:
            return None, evaluate_pretraining(*what)
        logits, loss = predict_logits(*what)
        scores = self.metrics(logits, self.evaluation_set.labels)
        defined = {name: None if value is None or not math.isfinite(value) else value for name, value in scores.items()}
        return logits, {"loss": loss, **defined}

    def check_best_by(self, names):
        if self.best_by not in names:
            raise ValueError(f"best_by: there is no metric {self.best_by!r}; there are {', '.join(names)}")

    def score(self, held_out):
        """What evaluations are compared by: larger is better, and an undefined metric is worse than any."""
        self.check_best_by(held_out)
        value = held_out[self.best_by]
        if value is None:
            return -math.inf
        return -value if self.best_by in LOWER_IS_BETTER else value

    def is_better(self, held_out):
        """Whether this evaluation is better than all before; without evaluation, the last state counts as the best."""
        if held_out is None:
            return True
        score = self.score(held_out)
        return self.record["best"] is None or score > self.score(self.record["best"])

    def out_of_patience(self):
        if self.patience is None or self.record["best"] is None:
            return False
        best = self.record["best"]["step"]
        return sum(entry["step"] > best for entry in self.record["history"]) >= self.patience

    def keep_best(self, entry, logits):
        """Remember the weights as they are now and, where there is a folder for it, write the model there."""
        self.record["best"] = {"epoch": entry["epoch"], "step": entry["step"], **(entry["held_out"] or {})}
        self.best_logits = logits
        self._best_weights = to_numpy(self.model.buffer.data).copy()
        if self.writes:
            self.model.save_pretrained(self.output)
            if self.tokenizer is not None:
                self.tokenizer.save_pretrained(self.output)

    def restore_best(self):
        """Give the model the weights of its best evaluation, if there was one."""
        if self._best_weights is not None:
            set_weights(self.model, self._best_weights)

    # stopping and going on

    def save_checkpoint(self):
        """Write all that `resume` needs into the output folder."""
        if not self.writes:
            return
        moments = self.optimizer.state_dict()
        tensors = {"mean": moments["mean"], "variance": moments["variance"]}
        best = self.record["best"]
        if best is not None and best["step"] != self.step:
            tensors["best"] = self._best_weights
        if self.best_logits is not None:
            tensors["best_logits"] = self.best_logits
        state = {
            "step": self.step,
            "optimizer_steps": moments["steps"],
            "since_log": self.since_log.state_dict(),
            "since_evaluation": self.since_evaluation.state_dict(),
            "train_set": self.train_set.state_dict() if hasattr(self.train_set, "state_dict") else None,
            "record": json.loads(as_json(self.record)),
            "layout": self.layout(),
            "environment": self.environment(),
        }
        write_checkpoint(self.output, self.step, self.model, self.tokenizer, state, tensors, max(self.keep, 1))
        self._call("saved")

    def resume(self):
        """Take up the newest checkpoint of the output folder; returns its step, 0 where there is none."""
        if self.output is None:
            raise ValueError("resume: there is no output folder to resume from")
        found = checkpoints(self.output)
        if not found:
            return 0
        _, folder = found[-1]
        state, tensors = read_checkpoint(folder)
        self.check_fits(folder, state)
        if not self.model.load_weights(folder).complete:
            raise ValueError(f"{folder}: its weights are not those of this model")
        self.optimizer.load_state_dict({**tensors, "steps": state["optimizer_steps"]})
        if state["train_set"] is not None:
            self.train_set.load_state_dict(state["train_set"])
        self.record = state["record"]
        self.step = state["step"]
        self.since_log = RunningMeans(state["since_log"])
        self.since_evaluation = RunningMeans(state["since_evaluation"])
        if self.record["best"] is not None:
            weights = to_numpy(self.model.buffer.data)
            self._best_weights = tensors.get("best", weights).astype(weights.dtype).copy()
        self.best_logits = tensors.get("best_logits")
        changed = differences({"processes": 1, **state["environment"]}, self.environment())
        self._call("resumed", folder, changed)
        return self.step

    def environment(self):
        return {**environment(self.model), "processes": self.processes.size}

    def begin_together(self):
        """Begin with the first process's weights. ValueError where this process would train something else."""
        own = json.loads(as_json({"step": self.step, **self.record["settings"]}))
        changed = differences(self.processes.tell(own), own)
        if changed:
            raise ValueError(f"the processes would train unlike things: of the first one {'; '.join(changed)}")
        self.processes.from_first(self.model.buffer.data)
        self.model.buffer.version += 1

    def check_same_settings(self, folder, settings, config=None):
        """ValueError naming what is set otherwise than in a training with these settings (and configuration)."""
        changed = differences(settings, json.loads(as_json(self.record["settings"])))
        if config is not None:
            now = json.loads(self.model.config.to_json_string())
            for name in ("architectures", "dtype", "torch_dtype", "problem_type"):  # written as training goes
                config.pop(name, None), now.pop(name, None)
            changed += differences(config, now)
        if changed:
            raise ValueError(f"{folder}: can't resume with changed settings: {'; '.join(changed)}")

    def check_fits(self, folder, state):
        """ValueError where a checkpoint is of another training, or of another model."""
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        self.check_same_settings(folder, state["record"]["settings"], config)
        if state["layout"] != self.layout():
            raise ValueError(f"{folder}: can't resume: the model's parameters are laid out in another way")

    def layout(self):
        """The names and places of the parameters in the flat buffer, which the moments share."""
        return [[name, parameter.start, parameter.size] for name, parameter in self.model.named_parameters()]

    # reports

    def begin_log(self):
        """Empty the log or, when going on from a checkpoint, cut off what came after it; clear up after a kill."""
        if not self.writes:
            return
        remove_leftovers(self.output)
        if self.step == 0:
            remove_checkpoints(self.output)  # of an earlier training
        path = self.output / LOG_FILE
        if not path.exists():
            return
        lines = [line for line in read_log(path) if line["step"] <= self.step and self.step > 0]
        write_text(path, "".join(as_json(line) + "\n" for line in lines))

    def write_log_line(self):
        """A line for the steps since the last one."""
        means = self.since_log
        self.add_to_log({
            "step": self.step,
            "epoch": self.epoch,
            **means.means(),
            "lr": self.optimizer.lr,
            "gradient_norm": self.gradient_norm,
            "tokens": means.tokens,
            "seconds": round(means.seconds, 3),
            "tokens_per_second": round(means.tokens_per_second(), 1),
        })  # fmt: skip
        self.since_evaluation.merge(means)
        self.since_log = RunningMeans()

    def add_to_log(self, line):
        if self.writes:
            self.output.mkdir(parents=True, exist_ok=True)
            with open(self.output / LOG_FILE, "a", encoding="utf-8", newline="\n") as file:
                file.write(as_json(line) + "\n")

    def write_record(self):
        if self.writes:
            self.output.mkdir(parents=True, exist_ok=True)
            write_text(self.output / METRICS_FILE, json.dumps(self.record, indent=2, default=as_number) + "\n")

    def stop(self, what):
        """Raise FloatingPointError saying what is wrong and where the last good model is."""
        if self.record["best"] is None:
            good = "no evaluation was reached, so there is no good model"
        else:
            where = self.output or "the model itself"
            good = f"the last good model, of epoch {self.record['best']['epoch']:g}, is in {where}"
        if self.output is not None and checkpoints(self.output):
            good += f", the last good checkpoint in {checkpoints(self.output)[-1][1]}"
        raise FloatingPointError(f"{what}: training can't go on (try a smaller learning rate); {good}")

    def _call(self, moment, *more):
        for callback in self.callbacks:
            getattr(callback, moment)(self, *more)


def set_weights(model, weights):
    """Copy flat weights of the host into a model's buffer."""
    model.buffer.data[...] = model.buffer.backend.asarray(weights)
    model.buffer.version += 1


def epochs_done(step, steps_per_epoch):
    """step / steps_per_epoch, a whole number where it is one."""
    whole, rest = divmod(step, steps_per_epoch)
    return whole if rest == 0 else round(step / steps_per_epoch, 4)


def read_log(path):
    """The lines of a log, as dictionaries; one that a killed process left half written ends it."""
    lines = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            try:
                lines.append(json.loads(line))
            except ValueError:
                break
    return lines


def as_json(value):
    return json.dumps(value, default=as_number)


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


def make_schedule(schedule, total, warmup, size=None):
    """The factor of the learning rate as a function of the step (0, 1, ...); size: the model's hidden size (noam)."""
    if callable(schedule):
        return schedule
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule: expected {', '.join(SCHEDULES)} or a function of the step, got {schedule!r}")
    takes = inspect.signature(SCHEDULES[schedule]).parameters
    values = {"total": total, "warmup": max(warmup, 1) if schedule == "noam" else warmup, "size": size}
    given = {name: value for name, value in values.items() if name in takes}
    return lambda step: SCHEDULES[schedule](step, **given)


def layer_factors(model, decay=1.0, freeze=None):
    """What the learning rate of each parameter is multiplied by: {name: decay^(L - l)} for layer l of 1..L

    The embeddings are layer 0; what stands on the layers has 1 (Sun et al. 2019, section 5.3.4). Where decay is 1 and
    nothing is frozen, the dictionary is empty.

    freeze: the embeddings and so many layers get 0, and the model's backward stops above them; None: no freezing

    Chapter 16, equation 16.9.
    """
    if not 0 < decay <= 1:
        raise ValueError(f"layer_decay: expected a number above 0, up to 1, got {decay!r}")
    trunk = getattr(model, "bert", None)
    if trunk is not None:
        trunk.freeze(freeze)
    elif decay != 1 or freeze is not None:
        raise ValueError(f"layer_decay and freeze are for models that stand on a BERT, not for {type(model).__name__}")
    if decay == 1 and freeze is None:
        return {}
    L, factors = model.config.num_hidden_layers, {}
    for name in (parameter.name for parameter in model.parameters()):
        found = re.search(r"encoder\.layer\.(\d+)\.", name)
        layer = int(found[1]) + 1 if found else 0 if "embeddings." in name else L
        frozen = freeze is not None and layer <= freeze and (found or layer == 0)
        factors[name] = 0.0 if frozen else decay ** (L - layer)
    return factors


def make_optimizer(optimizer, model, lr, weight_decay, lr_factors=None):
    """The optimiser of that name for the model; one already made is given back."""
    if not isinstance(optimizer, str):
        return optimizer
    if optimizer == "adamw":
        return AdamW(model, lr, weight_decay=weight_decay, lr_factors=lr_factors)
    if optimizer == "adam":
        return Adam(model, lr, lr_factors=lr_factors)
    if optimizer == "google":
        return AdamW(model, lr, eps=1e-6, weight_decay=weight_decay, bias_correction=False, lr_factors=lr_factors)
    raise ValueError(f"optimizer: expected {', '.join(OPTIMIZERS)}, got {optimizer!r}")
