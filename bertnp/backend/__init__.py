"""Which array library and device, and the switch between a formula's textbook body and its fast kernels."""

from bertnp import blas
from bertnp.backend.arrays import (
    Backend,
    add_at,
    array_module,
    as_array,
    backend_of,
    computed,
    empty,
    erf,
    float_type,
    get_backend,
    is_array,
    register_backend,
    to,
    to_numpy,
    use,
)
from bertnp.backend.formula import FORMULAS, Formula, formula, kernel, plain_formulas
from bertnp.backend.threads import share

__all__ = [
    "Backend",
    "FORMULAS",
    "Formula",
    "add_at",
    "array_module",
    "as_array",
    "backend_of",
    "computed",
    "empty",
    "erf",
    "float_type",
    "formula",
    "get_backend",
    "is_array",
    "kernel",
    "plain_formulas",
    "register_backend",
    "share",
    "to",
    "to_numpy",
    "use",
]

blas.after_numpy()
