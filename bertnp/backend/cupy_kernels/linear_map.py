"""Matrix products with a bias. The gradients of weights and biases are of the type C, see `device`."""

from bertnp.backend.cupy_kernels.device import FLOATS, as_rows, column_sums, computed_type
from bertnp.backend.cupy_kernels.products import layout, multiply
from bertnp.backend.formula import kernel


def rows_of(x):
    """(..., n) -> (rows, n), however the rows lie"""
    x = x.reshape(-1, x.shape[-1])
    return x if layout(x) else as_rows(x)


@kernel("product", backend="cupy", dtypes=FLOATS)
def product(x, weight):
    return multiply(rows_of(x), weight.T).reshape(*x.shape[:-1], len(weight))


@kernel("product_backward", backend="cupy", dtypes=FLOATS)
def product_backward(dy, x, weight, out=None):
    dy = as_type_of(x, dy)
    rows, inputs = rows_of(dy), rows_of(x)
    return multiply(rows, weight).reshape(x.shape), weight_gradient(rows, inputs, out)


def weight_gradient(dy, x, out=None):
    """dW = dyᵀ x"""
    return multiply(dy.T, x, out, computed_type(x.dtype))


def as_type_of(x, dy):
    """A gradient in the type of the activations: that of a loss may come in a longer one."""
    return dy if dy.dtype == x.dtype else dy.astype(x.dtype)


@kernel("linear", backend="cupy", dtypes=FLOATS)
def linear(x, weight, bias):
    y = multiply(rows_of(x), weight.T)
    y += bias
    return y.reshape(*x.shape[:-1], len(bias))


@kernel("linear_backward", backend="cupy", dtypes=FLOATS)
def linear_backward(dy, x, weight, out=None):
    dx, dweight = product_backward(dy, x, weight, out)
    (dbias,) = column_sums(as_rows(dy))
    return dx, dweight, dbias
