"""The basic layers: a formula, its weights, and what its backward needs."""

import bertnp.functional as F
from bertnp.nn.module import Module, drops
from bertnp.nn.parameter import Parameter


class Linear(Module):
    """y = x Wᵀ + b

    weight: (out_features, in_features)   bias: (out_features,);  either may be a Parameter shared with another layer
    """

    def __init__(self, in_features, out_features, weight=None, bias=None):
        self.weight = weight or Parameter((out_features, in_features), "normal")
        self.bias = bias or Parameter((out_features,), "zeros", decay=False)

    def forward(self, x):
        self.save(x)
        return F.linear(x, self.weight.data, self.bias.data)

    def backward(self, dy):
        (x,) = self.saved()
        dx, dweight, dbias = F.linear_backward(dy, x, self.weight.data, self.weight.grad_space())
        self.weight.add_grad(dweight)
        self.bias.add_grad(dbias)
        return dx


class LayerNorm(Module):
    """y = γ x̂ + β,  x̂ = (x - μ) / √(σ² + ε), mean and variance over the last axis         Ba et al. 2016, eq. 4

    x: (..., H)  ->  y: (..., H)
    """

    def __init__(self, size, eps=1e-12):
        self.weight = Parameter((size,), "ones", decay=False)
        self.bias = Parameter((size,), "zeros", decay=False)
        self.eps = eps

    def forward(self, x):
        y, x_hat, inv_std = F.layer_norm(x, self.weight.data, self.bias.data, self.eps)
        self.save(x_hat, inv_std)
        return y

    def backward(self, dy):
        x_hat, inv_std = self.saved()
        dx, dweight, dbias = F.layer_norm_backward(dy, x_hat, inv_std, self.weight.data)
        self.weight.add_grad(dweight)
        self.bias.add_grad(dbias)
        return dx


class Embedding(Module):
    """y_t = E[id_t]

    padding_idx: a row that begins at zero and learns nothing from being looked up
    """

    def __init__(self, num_embeddings, size, padding_idx=None):
        self.weight = Parameter((num_embeddings, size), "normal")
        self.weight.zero_row = self.padding_idx = padding_idx

    def forward(self, ids):
        self.save(ids)
        return F.embedding(ids, self.weight.data, self.padding_idx)

    def backward(self, dy):
        (ids,) = self.saved()
        self.weight.buffer.allocate_grad()
        grad = self.weight.grad
        dtable = F.embedding_backward(dy, ids, self.weight.data, self.padding_idx, grad)
        if dtable is not grad:
            self.weight.add_grad(dtable)


class Dropout(Module):
    """y = x k / (1 - p) while training, y = x else

    The keep-mask k comes from outside: `draw`, a function of the rate p that returns it, is asked only when needed.
    """

    def __init__(self, p):
        self.p = p
        self.site = 0  # which dropout of the model this is: part of the key its masks are drawn by

    def keep_mask(self, draw):
        """The mask for this forward, or None where nothing is dropped."""
        return draw(self) if self.p > 0 and drops(self) else None

    def forward(self, x, draw):
        keep = self.keep_mask(draw)
        self.save(keep)
        return F.dropout(x, keep, self.p)

    def backward(self, dy):
        (keep,) = self.saved()
        return F.dropout_backward(dy, keep, self.p)


class Activation(Module):
    """y = f(x), f by its name in a BERT configuration: gelu, gelu_new, gelu_fast, relu, silu, tanh, linear, …"""

    from_input = {
        "gelu": (F.gelu, F.gelu_backward),
        "gelu_new": (F.gelu_new, F.gelu_new_backward),
        "gelu_pytorch_tanh": (F.gelu_new, F.gelu_new_backward),
        "gelu_fast": (F.gelu_fast, F.gelu_fast_backward),
        "silu": (F.silu, F.silu_backward),
        "swish": (F.silu, F.silu_backward),
    }
    from_output = {"relu": (F.relu, F.relu_backward), "tanh": (F.tanh, F.tanh_backward)}

    def __init__(self, function):
        if function not in ("linear", *self.from_input, *self.from_output):
            raise ValueError(f"unknown activation {function!r}; known: linear, {', '.join(self.known())}")
        self.function = function

    @classmethod
    def known(cls):
        return [*cls.from_input, *cls.from_output]

    def forward(self, x):
        if self.function in self.from_input:
            self.save(x)
            return self.from_input[self.function][0](x)
        y = x if self.function == "linear" else self.from_output[self.function][0](x)
        self.save(y)
        return y

    def backward(self, dy):
        (x_or_y,) = self.saved()
        if self.function == "linear":
            return dy
        return {**self.from_input, **self.from_output}[self.function][1](dy, x_or_y)
