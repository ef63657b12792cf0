"""Fast bodies of formulas for NumPy arrays: the same numbers, with less traffic between memory and the cores.

What makes them fast is the same everywhere. Arrays are worked on in blocks of rows that stay in a core's cache, with
all steps done on one block before the next. Steps write in place or into memory used before, see `buffers`. Blocks are
shared out among the cores, see `threads`. Large matrix products are left to BLAS, which divides them itself; products
inside blocks are kept so small that BLAS does not.

Importing this package registers the kernels; the formulas must be there already.
"""

from bertnp.backend.numpy_kernels import (  # noqa: F401
    activations,
    attention_heads,
    fused,
    linear_map,
    lookup,
    losses,
    normalization,
    optimization,
    regularization,
)
