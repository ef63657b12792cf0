"""Heads turned down or taken out, and the gradient of that."""

from contextlib import contextmanager

import numpy as np

from bertnp.backend import to_numpy


@contextmanager
def head_mask(model, mask):
    """Inside this block every head's output is multiplied by its number: 1 leaves it as it is, 0 takes it out.

        with head_mask(model, mask):
            model(**batch, labels=labels)
            model.backward()
            gradients = head_gradients(model)

    Michel et al. 2019, eq. 2. The mask before, if there was one, comes back afterwards.

    model: any BERT   mask: (L, A) numbers
    """
    attentions = self_attentions(model)
    mask = to_numpy(mask)
    expected = len(attentions), attentions[0].heads if attentions else 0
    if mask.shape != expected or mask.dtype.kind not in "fiub":
        found = f"{mask.dtype} of shape {mask.shape}"
        raise ValueError(f"mask: expected numbers of shape {expected}, layers by heads, got {found}")
    before = [attention.head_mask for attention in attentions]
    try:
        for attention, row in zip(attentions, mask, strict=True):
            attention.head_mask, attention.dhead_mask = row, None
        yield
    finally:
        for attention, row in zip(attentions, before, strict=True):
            attention.head_mask, attention.dhead_mask = row, None


def head_gradients(model):
    """The gradient of the loss by the mask of `head_mask`, each sequence of the batch by itself: (B, L, A).

    Their sum over B is the gradient by a mask that all sequences share. RuntimeError if no backward has run in the
    block.
    """
    gradients = [attention.dhead_mask for attention in self_attentions(model)]
    if not gradients or any(gradient is None for gradient in gradients):
        raise RuntimeError("gradients by head need a backward of the model inside head_mask(model, ...)")
    return np.stack(gradients, axis=1)


def self_attentions(model):
    """The attention of each layer."""
    return [layer.attention.self for layer in model.trunk.encoder.layer]
