"""The linear map, applied to every position alike."""

from bertnp.backend import array_module, formula


@formula
def product(x, weight):
    """y = x Wᵀ

    x: (..., n)   weight: (m, n)  ->  y: (..., m)

    Chapter 03, equation 3.3.
    """
    return x @ weight.T


@formula
def product_backward(dy, x, weight, out=None):
    """dx = dy W,  dW = dyᵀ x

    One weight serves every position, so its gradient sums over all of them.

    dy: (..., m)   x: (..., n)   weight: (m, n)   out: (m, n) array to put dW in, or None
    ->  dx: (..., n)   dweight: (m, n)

    Chapter 03, equation 3.4.
    """
    m, n = weight.shape
    dx = dy @ weight
    dy, x = dy.reshape(-1, m), x.reshape(-1, n)  # (positions, m), (positions, n)
    return dx, array_module(dy).matmul(dy.T, x, out=out)


@formula
def linear(x, weight, bias):
    """y = x Wᵀ + b

    x: (..., n)   weight: (m, n)   bias: (m,)  ->  y: (..., m)

    Chapter 03, equation 3.1.
    """
    return x @ weight.T + bias


@formula
def linear_backward(dy, x, weight, out=None):
    """dx = dy W,  dW = dyᵀ x,  db = Σ dy

    One weight and one bias serve every position, so their gradients sum over all of them.

    dy: (..., m)   x: (..., n)   weight: (m, n)   out: (m, n) array to put dW in, or None
    ->  dx: (..., n)   dweight: (m, n)   dbias: (m,)

    Chapter 03, equation 3.2.
    """
    dx, dweight = product_backward(dy, x, weight, out)
    return dx, dweight, dy.reshape(-1, weight.shape[0]).sum(axis=0)
