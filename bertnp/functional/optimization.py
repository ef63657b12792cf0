"""What an optimiser does to a parameter, and how a gradient is kept from being too long."""

import math

from bertnp.backend import array_module, formula


@formula
def adamw(parameter, gradient, mean, variance, step, lr, betas, eps, weight_decay, bias_correction=True, scale=1.0,
          out=None):  # fmt: skip
    """m ← β₁ m + (1 - β₁) g,   v ← β₂ v + (1 - β₂) g²,   θ ← θ - lr (m̂ / (√v̂ + ε) + λ θ)

    m̂ = m / (1 - β₁ᵗ) and v̂ = v / (1 - β₂ᵗ) with t = step, counted from 1 (Kingma & Ba 2015, algorithm 1); without
    bias correction m̂ = m, v̂ = v, as BERT was trained. The decay λ acts on θ directly, not through the gradient
    (Loshchilov & Hutter 2019, algorithm 2). g = gradient · scale, the scale being the clipping's.

    parameter θ, gradient, mean m, variance v: same shape   out: arrays to put the results in, or None; they may be
    the inputs themselves  ->  θ, m, v after the step

    Chapter 13, equations 13.1, 13.2 and 13.3.
    """
    xp = array_module(parameter)
    beta1, beta2 = betas
    gradient = gradient * scale
    mean = beta1 * mean + (1.0 - beta1) * gradient
    variance = beta2 * variance + (1.0 - beta2) * (gradient * gradient)
    correction1 = 1.0 - beta1**step if bias_correction else 1.0
    correction2 = 1.0 - beta2**step if bias_correction else 1.0
    update = mean / (xp.sqrt(variance) * (1.0 / math.sqrt(correction2)) + eps)
    parameter = parameter * (1.0 - lr * weight_decay) - update * (lr / correction1)
    if out is None:
        return parameter, mean, variance
    for place, values in zip(out, (parameter, mean, variance), strict=True):
        place[...] = values
    return out


@formula
def clip_scale(gradient, max_norm, eps=1e-6):
    """s = min(1, max_norm / (‖g‖ + ε)),  ‖g‖ = √(Σ g²) over all gradients together       Pascanu et al. 2013

    PyTorch's ε is 1e-6; Google's BERT has ε = 0.

    gradient: (n,), all gradients of the model in one array  ->  scale s: ()   norm ‖g‖: ()

    Chapter 13, equation 13.4.
    """
    xp = array_module(gradient)
    norm = xp.sqrt(gradient @ gradient)
    return max_norm / xp.maximum(norm + eps, max_norm), norm
