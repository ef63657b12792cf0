"""Activation functions, element by element, and their derivatives."""

import math

from bertnp.backend import array_module, erf, formula

SQRT_2 = math.sqrt(2.0)
SQRT_2_OVER_PI = math.sqrt(2.0 / math.pi)


def normal_cdf(x):
    """Φ(x) = (1 + erf(x/√2)) / 2, the standard normal distribution function.

    Chapter 07, equation 7.1.
    """
    return 0.5 * (1.0 + erf(x / SQRT_2))


def normal_pdf(x):
    """φ(x) = exp(-x²/2) / √(2π), the standard normal density; Φ' = φ.

    Chapter 07, equation 7.2.
    """
    xp = array_module(x)
    return xp.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


@formula
def gelu(x):
    """y = x Φ(x),  Φ(x) = (1 + erf(x/√2)) / 2                     Hendrycks & Gimpel 2016, section 2

    The GELU of the published BERT checkpoints (`hidden_act: "gelu"`).

    x: (..., n) floating  ->  y: same shape and dtype

    Chapter 07, equation 7.1.
    """
    return x * normal_cdf(x)


@formula
def gelu_backward(dy, x):
    """dx = dy (Φ(x) + x φ(x)),  φ(x) = exp(-x²/2) / √(2π)

    The product rule on x Φ(x), with Φ' = φ.

    dy, x: (..., n)  ->  dx: same shape

    Chapter 07, equation 7.2.
    """
    return dy * (normal_cdf(x) + x * normal_pdf(x))


@formula
def gelu_new(x):
    """y = x (1 + tanh u) / 2,  u = √(2/π) (x + 0.044715 x³)        Hendrycks & Gimpel 2016, section 2

    The tanh form of GELU (`hidden_act: "gelu_new"` and `"gelu_pytorch_tanh"`), which Google's code uses. It differs
    from `gelu` by up to 4.73e-4, at |x| = 2.70.

    x: (..., n) floating  ->  y: same shape and dtype

    Chapter 07, equation 7.3.
    """
    xp = array_module(x)
    u = SQRT_2_OVER_PI * (x + 0.044715 * (x * x * x))
    return 0.5 * x * (1.0 + xp.tanh(u))


@formula
def gelu_new_backward(dy, x):
    """dx = dy [(1 + tanh u) / 2 + x (1 - tanh² u) u' / 2],  u' = √(2/π) (1 + 3·0.044715 x²)

    dy, x: (..., n)  ->  dx: same shape

    Chapter 07, equation 7.4.
    """
    xp = array_module(x)
    u = SQRT_2_OVER_PI * (x + 0.044715 * (x * x * x))
    du = SQRT_2_OVER_PI * (1.0 + 3.0 * 0.044715 * (x * x))
    t = xp.tanh(u)
    return dy * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * du)


@formula
def gelu_fast(x):
    """y = x (1 + tanh u) / 2,  u = 0.7978845608 x (1 + 0.044715 x²)

    The tanh form again (`hidden_act: "gelu_fast"`), with √(2/π) cut to ten digits as its checkpoints were trained.

    x: (..., n) floating  ->  y: same shape and dtype

    Chapter 07, equation 7.3.
    """
    xp = array_module(x)
    u = 0.7978845608 * x * (1.0 + 0.044715 * (x * x))
    return 0.5 * x * (1.0 + xp.tanh(u))


@formula
def gelu_fast_backward(dy, x):
    """dx = dy [(1 + tanh u) / 2 + x (1 - tanh² u) u' / 2],  u' = 0.7978845608 (1 + 3·0.044715 x²)

    dy, x: (..., n)  ->  dx: same shape

    Chapter 07, equation 7.4.
    """
    xp = array_module(x)
    u = 0.7978845608 * x * (1.0 + 0.044715 * (x * x))
    du = 0.7978845608 * (1.0 + 3.0 * 0.044715 * (x * x))
    t = xp.tanh(u)
    return dy * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * du)


@formula
def relu(x):
    """y = max(x, 0)

    x: (..., n) floating  ->  y: same shape and dtype

    Chapter 07, equation 7.5.
    """
    return array_module(x).where(x.real > 0, x, 0.0)


@formula
def relu_backward(dy, y):
    """dx = dy where y > 0, else 0

    dy, y: (..., n)  ->  dx: same shape

    Chapter 07, equation 7.6.
    """
    return dy * (y.real > 0)


@formula
def sigmoid(x):
    """y = σ(x) = 1 / (1 + exp(-x)) = (1 + tanh(x/2)) / 2

    Computed by the second form, which no x overflows.

    x: (..., n) floating  ->  y: same shape and dtype

    Chapter 05, equation 5.7.
    """
    xp = array_module(x)
    return 0.5 * (1.0 + xp.tanh(0.5 * x))


@formula
def sigmoid_backward(dy, y):
    """dx = dy y (1 - y)

    dy, y: (..., n)  ->  dx: same shape

    Chapter 05, equation 5.8.
    """
    return dy * y * (1.0 - y)


@formula
def silu(x):
    """y = x σ(x)                                                   Hendrycks & Gimpel 2016, section 2

    Also called swish (`hidden_act: "silu"` and `"swish"`).

    x: (..., n) floating  ->  y: same shape and dtype

    Chapter 07, equation 7.7.
    """
    return x * sigmoid(x)


@formula
def silu_backward(dy, x):
    """dx = dy (s + x s (1 - s)),  s = σ(x)

    dy, x: (..., n)  ->  dx: same shape

    Chapter 07, equation 7.8.
    """
    s = sigmoid(x)
    return dy * (s + x * s * (1.0 - s))


@formula
def tanh(x):
    """y = tanh(x)

    x: (..., n) floating  ->  y: same shape and dtype

    Chapter 07, equation 7.9.
    """
    return array_module(x).tanh(x)


@formula
def tanh_backward(dy, y):
    """dx = dy (1 - y²)

    dy, y: (..., n)  ->  dx: same shape

    Chapter 07, equation 7.10.
    """
    return dy * (1.0 - y * y)
