"""Activation functions and dropout: one statement for each element."""

from bertnp.backend.arrays import as_array
from bertnp.backend.cupy_kernels.device import FLOATS, Elementwise
from bertnp.backend.formula import kernel

CDF = "C cdf = (C)0.5 * (1 + erf((C)x * (C)0.7071067811865476)); "  # Φ(x)
PDF = "C pdf = (C)0.3989422804014327 * exp((C)-0.5 * (C)x * (C)x); "  # φ(x)
SIGMOID = "C s = (C)0.5 * (1 + tanh((C)0.5 * (C)x)); "
TANH_OF_NEW = "C t = tanh((C)0.7978845608028654 * ((C)x + (C)0.044715 * (C)x * (C)x * (C)x)); "
TANH_OF_FAST = "C t = tanh((C)0.7978845608 * (C)x * (1 + (C)0.044715 * (C)x * (C)x)); "
TANH_BACKWARD = (
    "C u = {} * (1 + (C)0.134145 * (C)x * (C)x); "
    "dx = (T)((C)dy * ((C)0.5 * (1 + t) + (C)0.5 * (C)x * (1 - t * t) * u)); "
)

STATEMENTS = {
    "gelu": CDF + "y = (T)((C)x * cdf);",
    "gelu_backward": CDF + PDF + "dx = (T)((C)dy * (cdf + (C)x * pdf));",
    "gelu_new": TANH_OF_NEW + "y = (T)((C)0.5 * (C)x * (1 + t));",
    "gelu_new_backward": TANH_OF_NEW + TANH_BACKWARD.format("(C)0.7978845608028654"),
    "gelu_fast": TANH_OF_FAST + "y = (T)((C)0.5 * (C)x * (1 + t));",
    "gelu_fast_backward": TANH_OF_FAST + TANH_BACKWARD.format("(C)0.7978845608"),
    "relu": "y = (T)((C)x > 0 ? (C)x : (C)0);",
    "relu_backward": "dx = (T)((C)y > 0 ? (C)dy : (C)0);",
    "sigmoid": SIGMOID + "y = (T)s;",
    "sigmoid_backward": "dx = (T)((C)dy * (C)y * (1 - (C)y));",
    "silu": SIGMOID + "y = (T)((C)x * s);",
    "silu_backward": SIGMOID + "dx = (T)((C)dy * (s + (C)x * s * (1 - s)));",
    "tanh": "y = (T)tanh((C)x);",
    "tanh_backward": "dx = (T)((C)dy * (1 - (C)y * (C)y));",
}
OF_THE_RESULT = ("relu_backward", "sigmoid_backward", "tanh_backward")

# u = x + b and a = gelu(u), where the two halves of the feed-forward network meet
bias_gelu = Elementwise("bias_gelu", "T product, T bias", "T u, T a",
                        "C x = (C)product + (C)bias; u = (T)x; " + CDF + "a = (T)(x * cdf);")  # fmt: skip
# a = gelu(u) again, and du = gelu'(da)
gelu_again = Elementwise("gelu_again", "T da, T x", "T a, T du",
                         CDF + PDF + "a = (T)((C)x * cdf); du = (T)((C)da * (cdf + (C)x * pdf));")  # fmt: skip
masked = Elementwise("dropout", "T x, bool keep, float64 factor", "T y",
                     "y = keep ? (T)((C)x * (C)factor) : (T)(C)0;")  # fmt: skip


def register(name, statement):
    if not name.endswith("_backward"):
        run = Elementwise(name, "T x", "T y", statement)

        def body(x):
            return run(x)

    elif name in OF_THE_RESULT:
        run = Elementwise(name, "T dy, T y", "T dx", statement)

        def body(dy, y):
            return run(dy, y)

    else:
        run = Elementwise(name, "T dy, T x", "T dx", statement)

        def body(dy, x):
            return run(dy, x)

    kernel(name, backend="cupy", dtypes=FLOATS)(body)


for _name, _statement in STATEMENTS.items():
    register(_name, _statement)


@kernel("dropout", backend="cupy", dtypes=FLOATS)
def dropout(x, keep=None, p=0.0):
    return x if keep is None else masked(x, as_array(keep, like=x, dtype=bool), 1.0 / (1.0 - p))


@kernel("dropout_backward", backend="cupy", dtypes=FLOATS)
def dropout_backward(dy, keep=None, p=0.0):
    return dropout(dy, keep, p)
