"""What a model predicts for a whole set, and how good that is."""

import inspect

import numpy as np

from bertnp.backend import to_numpy
from bertnp.data import batches_by_length, labelled_items
from bertnp.nn import inference
from bertnp.training.metrics import metrics_for
from bertnp.training.processes import ALONE
from bertnp.training.running import RunningMeans


def predict_logits(model, examples, batch_size=64, processes=ALONE):
    """The logits of all examples, in their order, and the mean loss (None without labels). Dropout is off.

    Texts of like length go through together, so that little padding is computed.

    examples: has lengths (n,) and batch(rows), such as `EncodedTexts`
    ->  logits: (n, C) on the host, or of heads that judge every token (`examples.by_token`) (T, C), the tokens of all
        rows without padding, one row after the other; C is 2, start and end, of question answering   loss
    processes: those that share the examples out among them; all get all results
    """
    if len(examples) == 0:
        raise ValueError("there are no examples to predict")
    by_token = getattr(examples, "by_token", False)
    logits, total, items = None, None, 0
    with inference():
        for rows in batches_by_length(examples.lengths, batch_size, processes.turns):
            batch = examples.batch(rows)
            out = model(**batch)
            found = scores(out)
            if logits is None:
                n = int(examples.lengths.sum()) if by_token else len(examples)
                logits = np.zeros((n, *found.shape[2 if by_token else 1 :]), model.host_dtype)
            if by_token:
                found = found[np.arange(found.shape[1]) < examples.lengths[rows, None]]  # without padding
                rows = token_places(examples.lengths, rows)
            logits[rows] = found
            if out.loss is not None:
                count = labelled_items(batch, getattr(model, "class_weights", None))["labels"]
                total, items = (total or 0.0) + float(out.loss) * count, items + count
    shape = processes.tell(None if logits is None else logits.shape)  # the first has one example at least
    logits = np.zeros(shape, model.host_dtype) if logits is None else logits
    processes.add_up(logits)
    every = processes.sum({"loss": total, "items": items})
    return logits, None if every["loss"] is None else every["loss"] / (every["items"] or 1)


def scores(out):
    """The logits of an output, on the host; those for start and end side by side."""
    if "start_logits" in out:
        return np.stack([to_numpy(out.start_logits), to_numpy(out.end_logits)], axis=-1)
    return to_numpy(out.logits)


def token_places(lengths, rows):
    """Where the tokens of these rows lie when the tokens of all rows do, one row after the other."""
    starts = np.cumsum(lengths) - lengths
    return np.concatenate([np.arange(starts[row], starts[row] + lengths[row]) for row in rows])


def evaluate(model, examples, metrics=None, batch_size=64):
    """The mean loss and the metrics on a labelled set: {"loss": ..., "accuracy": ..., ...}.

    metrics: a function of (logits, labels); None: what suits the labels
    """
    if examples.labels is None:
        raise ValueError("evaluation needs labels")
    metrics = metrics or metrics_for(examples.labels)
    logits, loss = predict_logits(model, examples, batch_size)
    return {"loss": loss, **metrics(logits, examples.labels)}


def evaluate_pretraining(model, examples, batch_size=64, processes=ALONE):
    """How well a model fills in the masked words of a set and, where it does that too, tells following sentences.

    {"loss", "masked_lm_loss", "masked_lm_accuracy", "next_sentence_loss", "next_sentence_accuracy"}, means over all
    labelled words and over all examples. Dropout is off.

    model: BertForPreTraining or BertForMaskedLM   examples: such as `PretrainingInstances`
    processes: those that share the examples out among them; all get all results
    """
    means, accepted = RunningMeans(), set(inspect.signature(model.forward).parameters)
    with inference():
        for rows in batches_by_length(examples.lengths, batch_size, processes.turns):
            batch = {name: values for name, values in examples.batch(rows).items() if name in accepted}
            items, parts = labelled_items(batch), model(**batch).parts
            means.add({
                name: (float(to_numpy(part.loss)), items[name], int(to_numpy(part.correct())))
                for name, part in parts.items()
            })  # fmt: skip
    means.add_up(processes)
    return means.means()
