"""Formulas off the beaten track in bfloat16: computed by their textbook bodies in float32, and rounded at the end."""

from bertnp.backend.arrays import computed, float_type, is_array
from bertnp.backend.formula import FORMULAS, kernel

ROUNDED = ("attention", "attention_backward", "masked_softmax", "masked_softmax_backward", "log_softmax",
           "log_softmax_backward")  # fmt: skip
# losses stay in float32, and the gradients that come from them
LOSSES = ("binary_cross_entropy", "binary_cross_entropy_backward", "mean_squared_error", "mean_squared_error_backward")


def register(name, is_rounded):
    formula = FORMULAS[name]

    def body(*args, **kwargs):
        args = [computed(value) if is_array(value) else value for value in args]
        kwargs = {key: computed(value) if is_array(value) else value for key, value in kwargs.items()}
        result = formula.body(*args, **kwargs)
        if not is_rounded:
            return result
        bfloat16 = float_type("bfloat16")
        if isinstance(result, tuple):
            return tuple(value.astype(bfloat16) for value in result)
        return result.astype(bfloat16)

    body.__signature__ = formula.signature
    kernel(name, backend="cupy", dtypes=("bfloat16",))(body)


for _name in (*ROUNDED, *LOSSES):
    register(_name, _name in ROUNDED)
