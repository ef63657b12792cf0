"""Chapters 06 to 08: other norms, activations and residuals."""


def rms_norm(x, weight, eps=1e-6):
    """y = γ x̂,  x̂ = x s,  s = 1/√(mean(x²) + ε), the mean over the last axis               Zhang & Sennrich 2019, eq. 4

    x: (..., H)   weight γ: (H,)  ->  y: (..., H)   x_hat: (..., H)   inv_rms s: (..., 1)
    """


def rms_norm_backward(dy, x_hat, inv_rms, weight):
    """dy, x_hat: (..., H)   inv_rms: (..., 1)   weight: (H,)  ->  dx: (..., H)   dweight: (H,)"""


def quick_gelu(x):
    """y = x σ(1.702 x),  σ(z) = 1 / (1 + exp(-z))                                    Hendrycks & Gimpel 2016, section 2

    x: (..., n) floating, large numbers too  ->  y: same shape
    """


def quick_gelu_backward(dy, x):
    """dy, x: (..., n)  ->  dx: same shape"""


def swiglu(x, weight, gate):
    """y = silu(x Gᵀ) · (x Wᵀ),  silu(z) = z σ(z), the product element by element                   Shazeer 2020, eq. 5

    x: (..., H)   weight W, gate G: (I, H)  ->  y: (..., I)
    """


def swiglu_backward(dy, x, weight, gate):
    """dy: (..., I)   x: (..., H)   weight, gate: (I, H)  ->  dx: (..., H)   dweight, dgate: (I, H)"""


def pre_norm_backward(dy, x, norm_weight, norm_bias, weight):
    """The backward of y = x + (n Wᵀ + b),  n = LayerNorm(x) with γ and β: `pre_norm` of bertnp.learn.given

    dy, x: (..., H)   norm_weight γ, norm_bias β: (H,)   weight: (H, H)
    ->  dx: (..., H)   dnorm_weight, dnorm_bias: (H,)   dweight: (H, H)   dbias: (H,)
    """
