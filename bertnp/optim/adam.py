"""Adam and AdamW on a model's flat buffers, in place."""

import numpy as np

import bertnp.functional as F
from bertnp.backend import to_numpy

BLOCK = 1 << 22  # elements updated at a time on the host, so that a textbook body's intermediate results stay small


class AdamW:
    """Adam with decoupled weight decay, for all parameters of a model at once: see `functional.adamw`.

    The decay acts on weight matrices and embeddings, not on biases or layer norms. With bias_correction False and
    eps 1e-6 this is the optimiser Google pre-trained BERT with.

    model: its gradients are the ones used, so call model.backward() first
    lr: the learning rate; a schedule sets `optimizer.lr` before each step
    betas, eps, weight_decay: β₁ and β₂, ε, λ
    lr_factors: {name of a parameter: what the learning rate is multiplied by}, 1 for the others; those with 0 are
      frozen: neither they nor their moments change, and `drop_frozen_gradients` takes them out of clipping
    """

    def __init__(
        self, model, lr=5e-5, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, bias_correction=True, lr_factors=None
    ):  # fmt: skip
        for name, value in (("lr", lr), ("eps", eps), ("weight_decay", weight_decay)):
            if not value >= 0:
                raise ValueError(f"{name}: expected a number of at least 0, got {value!r}")
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas: expected two numbers in [0, 1), got {betas!r}")
        self.model = model
        self.buffer = model.buffer
        self.lr = lr
        self.betas = tuple(betas)
        self.eps = eps
        self.weight_decay = weight_decay
        self.bias_correction = bias_correction
        self.stretches = stretches(self.buffer, weight_decay, lr_factors or {})
        self.steps = 0
        self.mean = self.variance = None  # first and second moments, allocated at the first step

    def step(self, scale=1.0):
        """Update every parameter from its gradient times scale (a number, or what `clip_grad_norm` returned)."""
        buffer, gradients = self.fitting_buffer(), self.buffer.grad
        if gradients is None:
            raise RuntimeError("there are no gradients yet: call model.backward() before optimizer.step()")
        self.allocate()
        self.steps += 1
        together = BLOCK if buffer.backend.name == "numpy" else max(buffer.data.size, 1)  # a device has one to launch
        for first, last, weight_decay, factor in self.stretches:
            for start in range(first, last if factor else first, together):
                block = slice(start, min(start + together, last))
                parameter, mean, variance = buffer.data[block], self.mean[block], self.variance[block]
                F.adamw(
                    parameter, gradients[block], mean, variance, self.steps, self.lr * factor, self.betas, self.eps,
                    weight_decay, self.bias_correction, scale, out=(parameter, mean, variance),
                )  # fmt: skip
        buffer.version += 1

    def zero_grad(self):
        """Set every gradient to zero."""
        self.fitting_buffer().zero_grad()

    def drop_frozen_gradients(self):
        """Set the gradients of frozen parameters to zero, so that they don't count when gradients are clipped."""
        for first, last, _, factor in self.stretches:
            if not factor:
                self.buffer.grad[first:last] = 0

    def fitting_buffer(self):
        """The model's parameter buffer. Raises RuntimeError if it is not the one this optimiser was made for."""
        if self.model.buffer is not self.buffer:
            raise RuntimeError(
                "the model's parameters were laid out anew (by astype, to or resize_token_embeddings) after this "
                "optimizer was made: make a new one"
            )
        return self.buffer

    def allocate(self):
        if self.mean is None:
            self.mean = self.buffer.backend.zeros_aligned(self.buffer.data.size, self.buffer.data.dtype)
            self.variance = self.buffer.backend.zeros_aligned(self.buffer.data.size, self.buffer.data.dtype)

    def state_dict(self):
        """What a checkpoint needs to go on: steps, and both moments as host arrays."""
        self.allocate()
        return {"steps": self.steps, "mean": to_numpy(self.mean), "variance": to_numpy(self.variance)}

    def load_state_dict(self, state):
        """Go on from what `state_dict` gave. Raises ValueError where the moments do not fit the model."""
        self.allocate()
        for name in ("mean", "variance"):
            if state[name].shape != self.mean.shape:
                raise ValueError(f"{name}: expected shape {self.mean.shape}, got {state[name].shape}")
        self.steps = int(state["steps"])
        self.mean[...] = self.buffer.backend.asarray(state["mean"])
        self.variance[...] = self.buffer.backend.asarray(state["variance"])


class Adam(AdamW):
    """Adam without weight decay (Kingma & Ba 2015)."""

    def __init__(self, model, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, lr_factors=None):
        super().__init__(model, lr, betas, eps, weight_decay=0.0, lr_factors=lr_factors)


def stretches(buffer, weight_decay, lr_factors):
    """The flat buffer as [(first, last, weight decay, factor of the learning rate), ...], as few as can be."""
    unknown = lr_factors.keys() - {parameter.name for parameter in buffer.parameters}
    if unknown:
        raise ValueError(f"lr_factors: the model has no parameter {min(unknown)!r}")
    found = []
    for parameter in buffer.parameters:
        first, last = parameter.start, parameter.start + parameter.size
        kind = weight_decay if first < buffer.decayed else 0.0, lr_factors.get(parameter.name, 1.0)
        if found and found[-1][2:] == kind:
            first = found.pop()[0]
        found.append((first, last, *kind))
    return found


def clip_grad_norm(model, max_norm, eps=1e-6):
    """The factor min(1, max_norm / (‖g‖ + eps)) that makes all gradients together no longer than max_norm, and ‖g‖.

    The gradients stay as they are: hand the factor to `optimizer.step(scale)`. Both stay on the model's device.
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm: expected a positive number, got {max_norm!r}")
    if model.buffer.grad is None:
        raise RuntimeError("there are no gradients yet: call model.backward() before clipping")
    return F.clip_scale(model.buffer.grad, np.dtype(model.host_dtype).type(max_norm).item(), eps)
