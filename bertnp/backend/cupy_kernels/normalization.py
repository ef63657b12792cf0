"""Layer normalisation, alone and where a half of an encoder layer ends: one pass over the rows."""

from bertnp.backend.cupy_kernels.device import (
    FLOATS,
    as_rows,
    column_sums,
    computed_type,
    contiguous,
    empty,
    launch,
    on_device,
    threads_for,
)
from bertnp.backend.formula import kernel


@kernel("layer_norm", backend="cupy", dtypes=FLOATS)
def layer_norm(x, weight, bias, eps=1e-12):
    return residual_norm(x, None, None, weight, bias, eps=eps)


@kernel("residual_norm", backend="cupy", dtypes=FLOATS)
def residual_norm(x, bias, residual, norm_weight, norm_bias, keep=None, p=0.0, eps=1e-12):
    shape, x = x.shape, as_rows(x)
    rows, n = x.shape
    residual = None if residual is None else as_rows(residual)
    bias, norm_weight, norm_bias = (None if v is None else contiguous(v) for v in (bias, norm_weight, norm_bias))
    y, x_hat, inv_std = empty(x.shape, x), empty(x.shape, x), empty((rows, 1), x, computed_type(x.dtype))
    launch(
        x, "residual_norm", rows, threads_for(n), x, bias, residual, mask_of(keep, x), 1.0 / (1.0 - p),
        norm_weight, norm_bias, float(eps), y, x_hat, inv_std, n,
    )  # fmt: skip
    return y.reshape(shape), x_hat.reshape(shape), inv_std.reshape(*shape[:-1], 1)


def mask_of(keep, like):
    return None if keep is None else on_device(keep, like, bool)


@kernel("layer_norm_backward", backend="cupy", dtypes=FLOATS)
def layer_norm_backward(dy, x_hat, inv_std, weight):
    dx, _ = to_inputs(dy, x_hat, inv_std, weight)
    return dx.reshape(dy.shape), *column_sums(as_rows(dy), as_rows(x_hat))


@kernel("residual_norm_backward", backend="cupy", dtypes=FLOATS)
def residual_norm_backward(dy, x_hat, inv_std, norm_weight, keep=None, p=0.0):
    dresidual, dx = to_inputs(dy, x_hat, inv_std, norm_weight, keep, p)
    dnorm_weight, dnorm_bias, dbias = column_sums(as_rows(dy), as_rows(x_hat), dx)
    return dx.reshape(dy.shape), dbias, dresidual.reshape(dy.shape), dnorm_weight, dnorm_bias


def to_inputs(dy, x_hat, inv_std, weight, keep=None, p=0.0):
    """The gradients of the sum that was normalised, (rows, n), and of what dropout had made of it before."""
    dy, x_hat = as_rows(dy), as_rows(x_hat)
    rows, n = dy.shape
    dresidual = empty(dy.shape, dy)
    dx = dresidual if keep is None else empty(dy.shape, dy)
    inv_std = contiguous(inv_std).astype(computed_type(dy.dtype), copy=False)
    launch(
        dy, "residual_norm_backward", rows, threads_for(n), dy, x_hat, inv_std, contiguous(weight), mask_of(keep, dy),
        1.0 / (1.0 - p), dresidual, dx, n,
    )  # fmt: skip
    return dresidual, dx
