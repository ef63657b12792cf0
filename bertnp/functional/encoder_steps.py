"""The steps of an encoder layer that run as one: the feed-forward network, and how both halves of a layer end.

A device may do each in one pass over memory; the bodies here say what it is, by the formulas it consists of.
"""

from bertnp.backend import formula
from bertnp.functional.activations import gelu, gelu_backward
from bertnp.functional.linear_map import linear, linear_backward, product, product_backward
from bertnp.functional.normalization import layer_norm, layer_norm_backward
from bertnp.functional.regularization import dropout, dropout_backward


@formula
def gelu_feed_forward(x, weight1, bias1, weight2):
    """y = gelu(u) W₂ᵀ,  u = x W₁ᵀ + b₁                      Vaswani et al. 2017, eq. 2, with GELU in place of ReLU

    The second bias is added by what follows, `residual_norm`.

    x: (..., H)   weight1: (I, H)   bias1: (I,)   weight2: (H, I)  ->  y: (..., H)   u: (..., I)

    Chapter 07, equation 7.11.
    """
    u = linear(x, weight1, bias1)
    return product(gelu(u), weight2), u


@formula
def gelu_feed_forward_backward(dy, x, weight1, weight2, u, out=(None, None)):
    """dh = dy W₂,  dW₂ = dyᵀ gelu(u),  du = gelu'(dh),  dx = du W₁,  dW₁ = duᵀ x,  db₁ = Σ du

    gelu(u), which is as wide as u, is computed again rather than kept.

    dy, x: (..., H)   weight1: (I, H)   weight2: (H, I)   u: (..., I)
    out: arrays to put dW₁ and dW₂ in, or None for either
    ->  dx: (..., H)   dweight1: (I, H)   dbias1: (I,)   dweight2: (H, I)

    Chapter 07, equation 7.12.
    """
    out1, out2 = out
    dh, dweight2 = product_backward(dy, gelu(u), weight2, out2)
    dx, dweight1, dbias1 = linear_backward(gelu_backward(dh, u), x, weight1, out1)
    return dx, dweight1, dbias1, dweight2


@formula
def residual_norm(x, bias, residual, norm_weight, norm_bias, keep=None, p=0.0, eps=1e-12):
    """y = LayerNorm(r + drop(x + b)) with γ and β: how both halves of a layer end       Devlin et al. 2019 (post-norm)

    x, residual r: (..., H)   bias b, norm_weight γ, norm_bias β: (H,)   keep, p: as in `dropout`   eps: LayerNorm's
    ->  y: (..., H)   x_hat: (..., H)   inv_std: (..., 1), as in `layer_norm`

    Chapter 08, equation 8.3.
    """
    return layer_norm(residual + dropout(x + bias, keep, p), norm_weight, norm_bias, eps)


@formula
def residual_norm_backward(dy, x_hat, inv_std, norm_weight, keep=None, p=0.0):
    """dr = LayerNorm'(dy),  dx = drop'(dr),  db = Σ dx: a sum hands its gradient to every summand

    dy, x_hat: (..., H)   inv_std: (..., 1)   norm_weight: (H,)   keep, p: the forward's
    ->  dx: (..., H)   dbias: (H,)   dresidual: (..., H)   dnorm_weight, dnorm_bias: (H,)

    Chapter 08, equation 8.4.
    """
    dresidual, dnorm_weight, dnorm_bias = layer_norm_backward(dy, x_hat, inv_std, norm_weight)
    dx = dropout_backward(dresidual, keep, p)
    return dx, dx.reshape(-1, dx.shape[-1]).sum(axis=0), dresidual, dnorm_weight, dnorm_bias
