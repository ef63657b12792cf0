"""Module: what every layer and model shares."""

import contextlib
import threading
import zlib

import numpy as np

from bertnp.backend import get_backend
from bertnp.nn.parameter import Parameter, ParameterBuffer

_running = threading.local()  # .depth of nested forwards, .forward the outermost one's token, .dropout


@contextlib.contextmanager
def saving_nothing(dropout):
    """Inside this block forwards save nothing for a backward, and dropout is on or off, whatever train() said."""
    before = getattr(_running, "dropout", None)
    _running.dropout = dropout
    try:
        yield
    finally:
        _running.dropout = before


def inference():
    """Inside this block forwards save nothing for a backward, and dropout is off."""
    return saving_nothing(dropout=False)


def is_inference():
    """Whether forwards save nothing."""
    return getattr(_running, "dropout", None) is not None


def drops(module):
    """Whether a layer drops: in training, unless this block says otherwise."""
    return module.training if getattr(_running, "dropout", None) is None else _running.dropout


class Module:
    """A layer, or a model made of layers: parameters, a forward, and a backward that adds to their gradients.

    `layer(x)` runs forward(x), which saves one tuple of exactly what backward needs; `layer.backward(dy)` takes it,
    adds to every parameter's gradient and returns dx.
    """

    training = True
    initializer_range = 0.02  # standard deviation of "normal" parameters (Devlin et al. 2019, released code)
    name = ""
    buffer = None
    seed = 0
    _saved = None
    _saved_in = None

    def forward(self, *args, **kwargs):
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *args, **kwargs):
        depth = getattr(_running, "depth", 0)
        if depth == 0:
            _running.forward = object()
            if self.buffer is None:
                self.initialize()
        _running.depth = depth + 1
        try:
            return self.forward(*args, **kwargs)
        finally:
            _running.depth = depth
            if depth == 0:
                _running.forward = None

    # what a forward leaves for its backward

    def save(self, *values):
        """Keep values for the backward. Raises RuntimeError if this layer has run in the same forward before."""
        if is_inference():
            return
        this_forward = getattr(_running, "forward", None)
        if self._saved is not None and this_forward is not None and self._saved_in is this_forward:
            raise RuntimeError(
                f"{self.label()} was called twice in one forward: what it saved for its backward would be overwritten; "
                "make two layers (they may share their Parameters)"
            )
        self._saved, self._saved_in = values, this_forward

    def saved(self):
        """The saved tuple, once. Raises RuntimeError where there is none."""
        if self._saved is None:
            raise RuntimeError(
                f"backward of {self.label()} needs its own forward first: none has run since the last backward "
                "(or it ran inside inference())"
            )
        values, self._saved = self._saved, None
        return values

    def label(self):
        return f"{type(self).__name__} {self.name!r}" if self.name else type(self).__name__

    # the tree of modules and parameters

    def children(self):
        """(name, module) of the modules directly inside this one; those in a list are named list.0, list.1, …"""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, list):
                yield from ((f"{name}.{i}", v) for i, v in enumerate(value) if isinstance(v, Module))

    def named_modules(self, prefix=""):
        """(name, module) of this module and of all inside it, from the outside in."""
        yield prefix, self
        for name, child in self.children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def named_parameters(self):
        """(name, Parameter), each object once, under the first name it is found by."""
        seen = set()
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter) and id(value) not in seen:
                    seen.add(id(value))
                    yield (f"{prefix}.{name}" if prefix else name), value

    def parameters(self):
        return [parameter for _, parameter in self.named_parameters()]

    def num_parameters(self):
        """How many numbers the model learns, tied ones counted once."""
        return sum(p.size for p in self.parameters())

    # values

    def allocate(self, dtype=np.float32, device=None):
        """Lay all parameters out in one new flat buffer; values they have are kept, new ones are zero."""
        if self.name:
            raise RuntimeError(f"{self.label()} is part of a model: its parameters lie in the whole model's buffer")
        for name, module in self.named_modules():
            module.name = name
        for name, parameter in self.named_parameters():
            parameter.name = name
        buffer = ParameterBuffer(self.parameters(), dtype, device)
        for _, module in self.named_modules():
            module.buffer = buffer
            module._saved = None

    def init_weights(self, names=None):
        """Give the named parameters (None: all) fresh values, each from a stream of its own keyed by seed and name."""
        for name, parameter in self.named_parameters():
            if names is None or name in names:
                parameter.data = initial_values(parameter, self.initializer_range, self.seed)

    def initialize(self, seed=0, dtype=None, device=None):
        """Allocate the parameters and give them fresh values; returns the module.

        dtype, device: None keeps what the module has, and else means float32 and where new models are created
        """
        if self.buffer is not None:
            dtype, device = dtype or self.buffer.dtype, device or self.buffer.backend
        self.seed = seed
        self.allocate(dtype or np.float32, device)
        self.init_weights()
        return self

    @property
    def dtype(self):
        return None if self.buffer is None else self.buffer.dtype

    @property
    def host_dtype(self):
        """The float type of results on the host: the model's, but float32 for bfloat16."""
        return None if self.buffer is None else self.buffer.data.dtype

    @property
    def device(self):
        return None if self.buffer is None else self.buffer.backend.name

    def astype(self, dtype):
        """Change the float type of all parameters, in place; optimisers made before no longer fit. Returns self."""
        self.allocate(dtype, self.buffer.backend)
        return self

    def to(self, device):
        """Move all parameters to a device ('cpu', 'cuda'), in place; optimisers made before no longer fit."""
        if get_backend(device) is not self.buffer.backend:
            self.allocate(self.buffer.dtype, device)
        return self

    def zero_grad(self):
        """Set every gradient to zero."""
        self.buffer.zero_grad()

    def train(self, mode=True):
        """Turn dropout on (or off); returns self."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self):
        """Turn dropout off; returns self."""
        return self.train(False)


def initial_values(parameter, standard_deviation, seed):
    """Fresh values of a parameter: float32 draws, so that a model begins alike in every float type."""
    if parameter.init == "normal":
        rng = np.random.default_rng([seed, zlib.crc32(parameter.name.encode())])
        values = rng.standard_normal(parameter.shape, dtype=np.float32)
        values *= np.float32(standard_deviation)
        if parameter.zero_row is not None:
            values[parameter.zero_row] = 0
        return values
    if parameter.init == "glorot":
        rng = np.random.default_rng([seed, zlib.crc32(parameter.name.encode())])
        bound = np.float32((6.0 / sum(parameter.shape)) ** 0.5)
        return (2 * rng.random(parameter.shape, dtype=np.float32) - 1) * bound
    return np.full(parameter.shape, {"zeros": 0, "ones": 1}[parameter.init], np.float32)
