"""Fast bodies of formulas for CuPy arrays: few launches, no copies to put arrays in order, no waiting.

What runs on the device stands in the .cu files (work on rows) and in `Elementwise` statements (one for each element);
products of matrices are cuBLAS's. The Python beside them works out sizes. They take float32, float64, and bfloat16
with statistics, losses and gradients of parameters in float32.

Importing this package registers the kernels, which needs no GPU; the formulas must be there already.
"""

from bertnp.backend.cupy_kernels import (  # noqa: F401
    activations,
    attention_heads,
    encoder_steps,
    in_float32,
    linear_map,
    lookup,
    losses,
    normalization,
    optimization,
)
