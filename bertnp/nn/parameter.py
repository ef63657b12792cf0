"""Parameters, and the two flat buffers that hold all of a model's weights and gradients."""

import numpy as np

from bertnp.backend import get_backend, to, to_numpy


class Parameter:
    """A weight tensor and its gradient, both views into the flat buffers of the model they belong to.

    init says how it begins: "normal" (mean 0, the model's standard deviation), "zeros" or "ones". decay says whether
    weight decay acts on it. Tying two places means giving both the same object.
    """

    def __init__(self, shape, init="zeros", decay=True):
        self.shape = tuple(shape)
        self.size = int(np.prod(self.shape))
        self.init = init
        self.decay = decay
        self.name = None
        self.zero_row = None  # a row that begins at zero: the padding word's
        self.buffer = None
        self.start = None

    def __repr__(self):
        return f"Parameter({self.name or 'unnamed'}, {self.shape})"

    def _view(self, flat):
        return flat[self.start : self.start + self.size].reshape(self.shape)

    @property
    def data(self):
        if self.buffer is None:
            raise RuntimeError(f"{self!r} has no values yet: call initialize() on its layer or model")
        return self._view(self.buffer.data)

    @data.setter
    def data(self, values):
        """Copy values into place; dtype and device are converted, the shape must agree."""
        if tuple(values.shape) != self.shape:
            raise ValueError(f"{self.name}: expected shape {self.shape}, got {tuple(values.shape)}")
        self.data[...] = to(values, self.buffer.backend)
        self.buffer.version += 1

    def resize(self, rows):
        """Change the length of the first axis; the values are gone until the model allocates and fills them anew."""
        self.shape = (rows, *self.shape[1:])
        self.size = int(np.prod(self.shape))
        self.buffer = self.start = None

    @property
    def grad(self):
        """The gradient, or None until a backward has added the first one to the model."""
        return None if self.buffer is None or self.buffer.grad is None else self._view(self.buffer.grad)

    def add_grad(self, gradient):
        """Add to the gradient: one weight used in several places collects them all."""
        self.buffer.allocate_grad()
        self._view(self.buffer.grad)[...] += gradient


class ParameterBuffer:
    """All parameters of a model in one flat array, those with weight decay first; their gradients in a second.

    data: (n,) 64-byte aligned   grad: (n,), None until the first backward
    decayed: how many elements, from the start, weight decay acts on
    version: counts the changes made through parameters and optimisers
    """

    def __init__(self, parameters, dtype=np.float32, device=None):
        self.backend = get_backend(device)
        self.dtype = np.dtype(dtype)
        ordered = [p for p in parameters if p.decay] + [p for p in parameters if not p.decay]
        size = sum(p.size for p in ordered)
        self.decayed = sum(p.size for p in ordered if p.decay)
        self.data = self.backend.zeros_aligned(size, self.dtype)
        self.grad = None
        self.version = 0
        start = 0
        for parameter in ordered:
            values = None if parameter.buffer is None else to_numpy(parameter.data)
            parameter.buffer, parameter.start = self, start
            if values is not None:
                parameter.data = values
            start += parameter.size

    def allocate_grad(self):
        if self.grad is None:
            self.grad = self.backend.zeros_aligned(self.data.size, self.dtype)

    def zero_grad(self):
        if self.grad is not None:
            self.grad[...] = 0


def side_by_side(parameters):
    """Parameters that lie one behind the other in the buffer, as one parameter stacked along the first axis.

    It is a view: what is added to its gradient is added to theirs. Raises RuntimeError where they do not lie so.
    """
    first = parameters[0]
    joined = Parameter((sum(p.shape[0] for p in parameters), *first.shape[1:]), decay=first.decay)
    joined.name = first.name
    joined.buffer, joined.start = first.buffer, first.start
    end = first.start
    for parameter in parameters:
        if parameter.buffer is not first.buffer or parameter.start != end:
            raise RuntimeError(f"{parameter.name} does not lie behind {joined.name} in the parameter buffer")
        end += parameter.size
    return joined
