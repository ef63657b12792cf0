"""The feed-forward network: what stands between its two products in one pass."""

from bertnp.backend.cupy_kernels.activations import bias_gelu, gelu_again
from bertnp.backend.cupy_kernels.device import FLOATS, column_sums, empty
from bertnp.backend.cupy_kernels.linear_map import rows_of, weight_gradient
from bertnp.backend.cupy_kernels.products import multiply
from bertnp.backend.formula import kernel


@kernel("gelu_feed_forward", backend="cupy", dtypes=FLOATS)
def gelu_feed_forward(x, weight1, bias1, weight2):
    u = multiply(rows_of(x), weight1.T)
    a = empty(u.shape, u)
    bias_gelu(u, bias1, u, a)
    y = multiply(a, weight2.T)
    return y.reshape(*x.shape[:-1], len(weight2)), u.reshape(*x.shape[:-1], len(bias1))


@kernel("gelu_feed_forward_backward", backend="cupy", dtypes=FLOATS)
def gelu_feed_forward_backward(dy, x, weight1, weight2, u, out=(None, None)):
    shape = x.shape
    dy, x, u = rows_of(dy), rows_of(x), rows_of(u)
    da = multiply(dy, weight2)  # (rows, I)
    a = empty(u.shape, u)
    gelu_again(da, u, a, da)
    dweight1, dweight2 = weight_gradient(da, x, out[0]), weight_gradient(dy, a, out[1])
    (dbias1,) = column_sums(da)
    return multiply(da, weight1).reshape(shape), dweight1, dbias1, dweight2
