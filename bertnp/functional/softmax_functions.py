"""Softmax over the last axis: plain, masked, and its logarithm."""

from bertnp.backend import array_module, as_array, formula


@formula
def softmax(x):
    """y_j = exp(x_j) / Σ_k exp(x_k)

    The largest x is subtracted first: it cancels in the quotient and keeps exp from overflowing.

    x: (..., n) floating  ->  y: same shape, rows sum to 1

    Chapter 05, equation 5.1.
    """
    xp = array_module(x)
    exps = xp.exp(x - x.real.max(axis=-1, keepdims=True))
    return exps / exps.sum(axis=-1, keepdims=True)


@formula
def softmax_backward(dy, y):
    """dx_j = y_j (dy_j - Σ_k dy_k y_k)

    The Jacobian is diag(y) - y yᵀ: every output depends on every input. The rows of dx sum to 0.

    dy, y: (..., n)  ->  dx: same shape

    Chapter 05, equation 5.2.
    """
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


@formula
def masked_softmax(x, mask=None):
    """y_j = m_j exp(x_j) / Σ_k m_k exp(x_k), and 0 throughout a row where no m_k is 1

    x: (..., n) floating   mask: truth values, broadcastable to x; None: all true  ->  y: same shape

    Chapter 09, equation 9.1.
    """
    if mask is None:
        return softmax(x)
    xp = array_module(x)
    mask = as_array(mask, like=x, dtype=bool)
    allowed = xp.where(mask, x, xp.finfo(x.dtype).min)
    exps = xp.exp(allowed - allowed.real.max(axis=-1, keepdims=True)) * mask
    total = exps.sum(axis=-1, keepdims=True)
    return exps / (total + (total == 0))


@formula
def masked_softmax_backward(dy, y):
    """dx_j = y_j (dy_j - Σ_k dy_k y_k), which is 0 wherever the mask was false, since y is

    dy, y: (..., n)  ->  dx: same shape

    Chapter 09, equation 9.2.
    """
    return softmax_backward(dy, y)


@formula
def log_softmax(x):
    """y_j = x_j - log Σ_k exp(x_k)

    x: (..., n) floating  ->  y: same shape

    Chapter 05, equation 5.3.
    """
    xp = array_module(x)
    shifted = x - x.real.max(axis=-1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=-1, keepdims=True))


@formula
def log_softmax_backward(dy, y):
    """dx_j = dy_j - exp(y_j) Σ_k dy_k

    dy, y: (..., n)  ->  dx: same shape

    Chapter 05, equation 5.4.
    """
    xp = array_module(y)
    return dy - xp.exp(y) * dy.sum(axis=-1, keepdims=True)
