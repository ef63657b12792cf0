"""Which attention heads a trained model needs: by gradients, and by taking heads out."""

import numpy as np

from bertnp.data.batches import IGNORED, batches_by_length
from bertnp.models.head_masks import head_gradients, head_mask, self_attentions


def head_importance(model, examples, batch_size=32, by_layer=True, progress=None):
    """I_h = mean over examples x of |∂L(x)/∂ξ_h| at ξ = 1, ξ_h a factor of head h's output: (L, A)

    How much the loss of an example would change, to first order, if the head were taken out (Michel et al. 2019,
    eq. 2 and section 4.1). One backward of a batch gives the gradients of each of its examples. Dropout is off; the
    gradients of the parameters are zero afterwards.

    model: with a loss for the examples' labels   examples: has lengths (n,) and batch(rows), such as `EncodedTexts`
    by_layer: divide by the root of the sum of squares over each layer's heads, so that layers can be compared
    progress: called with the number of examples after each batch, or None

    Chapter 17, equation 17.1.
    """
    training, total = model.training, 0.0
    ones = np.ones((len(self_attentions(model)), model.config.num_attention_heads))
    model.eval()
    try:
        with head_mask(model, ones):
            for rows in batches_by_length(examples.lengths, batch_size):
                batch = examples.batch(rows)
                model(**batch)
                model.backward()
                gradients = head_gradients(model)  # (B, L, A); of choices (B · C, L, A)
                gradients = gradients.reshape(len(rows), -1, *ones.shape).sum(axis=1) * share_of_mean(batch, len(rows))
                total = total + np.abs(gradients).sum(axis=0, dtype=np.float64)
                if progress is not None:
                    progress(len(rows))
    finally:
        model.train(training)
        if model.buffer.gradients is not None:
            model.zero_grad()
    if not len(examples):
        raise ValueError("there are no examples to take gradients of")
    importance = total / len(examples)
    if by_layer:
        importance /= np.maximum(np.sqrt((importance**2).sum(axis=-1, keepdims=True)), np.finfo(np.float64).tiny)
    return importance


def share_of_mean(batch, B):
    """What turns gradients of a batch's mean loss into those of each example's own mean: (B, 1, 1)

    The loss is a mean over N labels, n of which are the example's: N / n; 0 for an example without a label.
    """
    labels = batch.get("labels")
    labels = np.ones(B) if labels is None else np.asarray(labels).reshape(B, -1)
    counts = (labels != IGNORED).reshape(B, -1).sum(axis=1)
    return (counts.sum() / np.maximum(counts, 1) * (counts > 0)).reshape(B, 1, 1)


def ablation_curve(score, importance, steps=10, most_important_first=False, rng=None):
    """What a model scores without its first 0, ..., all heads: [(number of heads taken out, score), ...]

    score: a function of a mask (L, A), giving a number   importance: (L, A); the least important heads go first
    steps: into how many steps, as even as can be, all heads are taken out
    most_important_first: take these out first   rng: a random generator, to take heads out in random order instead
    """
    if steps < 1:
        raise ValueError(f"steps: expected at least 1, got {steps}")
    order = np.argsort(importance, axis=None, kind="stable")
    if rng is not None:
        order = rng.permutation(importance.size)
    elif most_important_first:
        order = order[::-1]
    curve = []
    for taken in np.unique(np.linspace(0, importance.size, steps + 1).round().astype(int)):
        mask = np.ones(importance.size)
        mask[order[:taken]] = 0
        curve.append((int(taken), score(mask.reshape(importance.shape))))
    return curve
