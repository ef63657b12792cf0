"""The linear map, applied to every position alike."""

from bertnp.backend import formula


@formula
def linear(x, weight, bias):
    """y = x Wᵀ + b

    x: (..., n)   weight: (m, n)   bias: (m,)  ->  y: (..., m)
    """
    return x @ weight.T + bias


@formula
def linear_backward(dy, x, weight):
    """dx = dy W,  dW = dyᵀ x,  db = Σ dy

    One weight and one bias serve every position, so their gradients sum over all of them.

    dy: (..., m)   x: (..., n)   weight: (m, n)  ->  dx: (..., n)   dweight: (m, n)   dbias: (m,)
    """
    m, n = weight.shape
    dx = dy @ weight
    dy, x = dy.reshape(-1, m), x.reshape(-1, n)  # (positions, m), (positions, n)
    return dx, dy.T @ x, dy.sum(axis=0)
