"""What a model predicts for a whole set, and how good that is."""

import numpy as np

from bertnp.backend import to_numpy
from bertnp.data import batches_by_length, labelled_items
from bertnp.nn import inference
from bertnp.training.metrics import metrics_for


def predict_logits(model, examples, batch_size=64):
    """The logits of all examples, in their order, and the mean loss (None without labels). Dropout is off.

    Texts of like length go through together, so that little padding is computed.

    examples: has lengths (n,) and batch(rows), such as `EncodedTexts`  ->  logits: (n, C) on the host   loss
    """
    logits, losses, items = None, [], []
    with inference():
        for rows in batches_by_length(examples.lengths, batch_size):
            batch = examples.batch(rows)
            out = model(**batch)
            if logits is None:
                logits = np.zeros((len(examples), *out.logits.shape[1:]), model.dtype)
            logits[rows] = to_numpy(out.logits)
            if out.loss is not None:
                losses.append(float(out.loss))
                items.append(labelled_items(batch))
    if logits is None:
        raise ValueError("there are no examples to predict")
    return logits, float(np.average(losses, weights=items)) if losses else None


def evaluate(model, examples, metrics=None, batch_size=64):
    """The mean loss and the metrics on a labelled set: {"loss": ..., "accuracy": ..., ...}.

    metrics: a function of (logits, labels); None: what suits the labels
    """
    if examples.labels is None:
        raise ValueError("evaluation needs labels")
    metrics = metrics or metrics_for(examples.labels)
    logits, loss = predict_logits(model, examples, batch_size)
    return {"loss": loss, **metrics(logits, examples.labels)}
