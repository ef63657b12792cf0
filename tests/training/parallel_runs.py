"""Trainings that come to the same in one process and in several.

    mpiexec -n 4 python -m mpi4py parallel_runs.py FOLDER

writes what each has come to in the process of rank r as FOLDER/r.json and FOLDER/r-RUN.npy.
"""

import json
import sys
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from test_pretraining_loss import instances, make_model
from test_trainer import DROPOUT, examples
from tiny_model import tiny_classifier, tiny_tokenizer

from bertnp.data import DynamicMasking
from bertnp.training import Trainer
from bertnp.training.processes import ALONE, find


class Traced(Trainer):
    """Notes the loss and the length of the gradient of each step."""

    def read(self, *step):
        super().read(*step)
        self.trace = [*getattr(self, "trace", ()), [self.loss, self.gradient_norm]]


def pretraining(dtype, dynamic, steps, **options):
    """Epochs of five steps of 10 instances, 2 at a time, and one of 3: with four processes one of them has none."""
    train, held_out = instances(12), instances(5, seed=1)
    train.order = train.order[:53]
    if dynamic:
        train = DynamicMasking(train, tiny_tokenizer(), seed=3)
    model = make_model(dtype=dtype, num_hidden_layers=1, hidden_size=16)
    return Traced(model, train, held_out, steps=steps, batch_size=10, micro_batch_size=2, clip=0.5, seed=2,
                  evaluate_every=steps // 2, **options)  # fmt: skip


def classification(dtype, **options):
    """Epochs of two steps: 8 sentences, and 1. With four processes one has no sentence to evaluate on."""
    model = tiny_classifier(dtype=dtype, **DROPOUT)
    return Traced(model, examples(9), examples(3, 1), epochs=6, batch_size=8, **options)


def regression(dtype, **options):
    train, model = examples(22, labels=np.linspace(-1, 1, 22)), tiny_classifier(dtype=dtype, num_labels=1, **DROPOUT)
    return Traced(model, train, train, steps=12, batch_size=7, **options)


RUNS = {
    "dynamic-float64": lambda **options: pretraining(np.float64, True, 50, **options),
    "dynamic-float32": lambda **options: pretraining(np.float32, True, 50, **options),
    "static-float64": lambda **options: pretraining(np.float64, False, 12, **options),
    "classification-float64": lambda **options: classification(np.float64, **options),
    "regression-float64": lambda **options: regression(np.float64, **options),
}


def outcome(run, processes=ALONE):
    """What a run comes to, as JSON can hold it, and the weights after the last step."""
    trainer = RUNS[run](processes=processes, lr=1e-3, log_every=7)
    trainer.restore_best = lambda: None
    record = trainer.train()
    clock = ("seconds", "tokens_per_second")
    history = [{name: value for name, value in entry.items() if name not in clock} for entry in record["history"]]
    return {"trace": trainer.trace, "history": history, "best": record["best"]}, trainer.model.buffer.data


if __name__ == "__main__":
    processes, folder, outcomes = find(), Path(sys.argv[1]), {}
    for run in RUNS:
        outcomes[run], weights = outcome(run, processes)
        np.save(folder / f"{processes.rank}-{run}.npy", weights)
    (folder / f"{processes.rank}.json").write_text(json.dumps(outcomes), encoding="utf-8")
