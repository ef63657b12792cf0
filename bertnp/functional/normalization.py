"""Layer normalisation."""

from bertnp.backend import array_module, formula


@formula
def layer_norm(x, weight, bias, eps=1e-12):
    """y = γ x̂ + β,  x̂ = (x - μ) / √(σ² + ε),  μ and σ² over the last axis               Ba et al. 2016, eq. 4

    The variance is the biased one (a mean of squares), and ε stands inside the root; BERT's ε is 1e-12.

    x: (..., H)   weight γ, bias β: (H,)  ->  y: (..., H)   x_hat: (..., H)   inv_std = 1/√(σ² + ε): (..., 1)

    Chapter 06, equation 6.1.
    """
    xp = array_module(x)
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    inv_std = 1.0 / xp.sqrt(variance + eps)
    x_hat = centred * inv_std
    return weight * x_hat + bias, x_hat, inv_std


@formula
def layer_norm_backward(dy, x_hat, inv_std, weight):
    """dx = (g - mean(g) - x̂ mean(g x̂)) / √(σ² + ε),  g = γ dy;   dγ = Σ dy x̂,   dβ = Σ dy

    x moves μ and σ² too: that takes from g its mean and its part along x̂ (means over the last axis). The sums for
    γ and β run over all positions.

    dy, x_hat: (..., H)   inv_std: (..., 1)   weight: (H,)  ->  dx: (..., H)   dweight, dbias: (H,)

    Chapter 06, equation 6.2.
    """
    H = weight.shape[0]
    g = weight * dy
    dx = inv_std * (g - g.mean(axis=-1, keepdims=True) - x_hat * (g * x_hat).mean(axis=-1, keepdims=True))
    return dx, (dy * x_hat).reshape(-1, H).sum(axis=0), dy.reshape(-1, H).sum(axis=0)
