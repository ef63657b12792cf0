"""Parameters, and the two flat buffers that hold all of a model's weights and gradients."""

import numpy as np

from bertnp.backend import float_type, get_backend, to, to_numpy


class Parameter:
    """A weight tensor and its gradient, both views into the flat buffers of the model they belong to.

    init says how it begins: "normal" (mean 0, the model's standard deviation), "glorot" (even within ±√(6/(m + n)) for
    a weight (m, n); Glorot & Bengio 2010, eq. 16), "zeros" or "ones". decay says whether weight decay acts on it.
    Tying two places means giving both the same object.
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
        self._space = None

    def __repr__(self):
        return f"Parameter({self.name or 'unnamed'}, {self.shape})"

    def _view(self, flat):
        return flat[self.start : self.start + self.size].reshape(self.shape)

    @property
    def data(self):
        """The values that layers compute with."""
        self._check_allocated()
        return self._view(self.buffer.values)

    @property
    def master(self):
        """The values as the optimiser keeps them: the same, but not rounded to bfloat16."""
        self._check_allocated()
        return self._view(self.buffer.data)

    def _check_allocated(self):
        if self.buffer is None:
            raise RuntimeError(f"{self!r} has no values yet: call initialize() on its layer or model")

    @data.setter
    def data(self, values):
        """Copy values into place; dtype and device are converted, the shape must agree."""
        if tuple(values.shape) != self.shape:
            raise ValueError(f"{self.name}: expected shape {self.shape}, got {tuple(values.shape)}")
        self.master[...] = to(values, self.buffer.backend)
        self.buffer.version += 1

    def resize(self, rows):
        """Change the length of the first axis; the values are gone until the model allocates and fills them anew."""
        self.shape = (rows, *self.shape[1:])
        self.size = int(np.prod(self.shape))
        self.buffer = self.start = None

    @property
    def parts(self):
        """The parameters of the model that this one consists of."""
        return (self,)

    @property
    def grad(self):
        """The gradient, or None until a backward has added the first one to the model."""
        if self.buffer is None or self.buffer.gradients is None:
            return None
        self.buffer.settle(self.parts)
        return self._view(self.buffer.gradients)

    def grad_space(self):
        """Where to compute the gradient if it is the first since they were zeroed, else None; see `add_grad`."""
        self.buffer.allocate_grad()
        if not self.buffer.unwritten.issuperset(self.parts):
            return None
        self._space = self._view(self.buffer.gradients)
        return self._space

    def add_grad(self, gradient):
        """Add to the gradient: one weight used in several places collects them all.

        The array that `grad_space` gave is in place already, and is only noted as written.
        """
        self.buffer.allocate_grad()
        place, self._space = self._space, None
        if gradient is not place:
            place = self._view(self.buffer.gradients)
            if self.buffer.unwritten.issuperset(self.parts):
                place[...] = gradient
            else:
                self.buffer.settle(self.parts)
                place += gradient
        self.buffer.unwritten.difference_update(self.parts)


class ParameterBuffer:
    """All parameters of a model in one flat array, those with weight decay first; their gradients in a second.

    data: (n,) 64-byte aligned   grad: (n,), None until the first backward
    dtype: the type that layers compute in; data and gradients are of the same, but float32 for bfloat16
    decayed: how many elements, from the start, weight decay acts on
    version: counts the changes made through parameters and optimisers

    Zeroing the gradients only notes that they are to be zero: whatever is written first takes the place of what is
    there, and what was not written is zeroed when somebody looks.
    """

    def __init__(self, parameters, dtype=np.float32, device=None):
        self.backend = get_backend(device)
        self.dtype = float_type(dtype)
        is_rounded = self.dtype.name == "bfloat16"
        if is_rounded and not self.backend.has_bfloat16:
            raise ValueError(f"bfloat16 needs device 'cuda', got {self.backend.name}")
        self.parameters = [p for p in parameters if p.decay] + [p for p in parameters if not p.decay]
        size = sum(p.size for p in self.parameters)
        self.decayed = sum(p.size for p in self.parameters if p.decay)
        self.data = self.backend.zeros_aligned(size, np.float32 if is_rounded else self.dtype)
        self._rounded = self.backend.zeros_aligned(size, self.dtype) if is_rounded else None
        self._rounded_version = 0
        self.gradients = None  # as they lie in memory; those of `unwritten` parameters are to be zero
        self.unwritten = set()
        self.version = 0
        start = 0
        for parameter in self.parameters:
            values = None if parameter.buffer is None else to_numpy(parameter.master)
            parameter.buffer, parameter.start = self, start
            if values is not None:
                parameter.data = values
            start += parameter.size

    @property
    def values(self):
        """What layers compute with: data, rounded to bfloat16 where that is the type; (n,)"""
        if self._rounded is None:
            return self.data
        if self._rounded_version != self.version:
            self._rounded[...] = self.data
            self._rounded_version = self.version
        return self._rounded

    @property
    def grad(self):
        """All gradients, or None until a backward has added the first one."""
        if self.gradients is not None:
            self.settle(self.unwritten)
        return self.gradients

    def settle(self, parameters):
        """Zero the gradients of those parameters that are to be zero."""
        for parameter in self.unwritten.intersection(parameters):
            self.gradients[parameter.start : parameter.start + parameter.size] = 0
            self.unwritten.discard(parameter)

    def allocate_grad(self):
        if self.gradients is None:
            self.gradients = self.backend.zeros_aligned(self.data.size, self.data.dtype)
            self.zero_grad()

    def zero_grad(self):
        if self.gradients is not None:
            self.unwritten = set(self.parameters)


class _Joined(Parameter):
    """Parameters that lie one behind the other, as one."""

    def __init__(self, parameters):
        first = parameters[0]
        super().__init__((sum(p.shape[0] for p in parameters), *first.shape[1:]), decay=first.decay)
        self.name, self.buffer, self.start = first.name, first.buffer, first.start
        self.joined = tuple(parameters)

    @property
    def parts(self):
        return self.joined


def side_by_side(parameters):
    """Parameters that lie one behind the other in the buffer, as one parameter stacked along the first axis.

    It is a view: what is added to its gradient is added to theirs. Raises RuntimeError where they do not lie so.
    """
    joined = _Joined(parameters)
    end = joined.start
    for parameter in parameters:
        if parameter.buffer is not joined.buffer or parameter.start != end:
            raise RuntimeError(f"{parameter.name} does not lie behind {joined.name} in the parameter buffer")
        end += parameter.size
    return joined
