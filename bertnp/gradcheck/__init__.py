"""The gradient checker: is a backward the derivative of its forward, and if not, what went wrong?

check_formula("softmax", backward=mine)      your version of a formula, on cases made to find mistakes
check(f, backward, {"x": x})                 any function and its gradient
check_layer(layer, x)                        a layer of bertnp.nn, with all its parameters
check_model(model, batch)                    a whole model, every tensor
assert_gradients(…)                          any of these, for tests
compare(mine, reference)                     which of several results is the first that differs
taylor, step_sweep                           how a slope is approached, for pictures
"""

from bertnp.gradcheck.checking import check
from bertnp.gradcheck.comparing import compare
from bertnp.gradcheck.differences import step_sweep, taylor
from bertnp.gradcheck.formulas import check_formula
from bertnp.gradcheck.layers import check_layer, check_model
from bertnp.gradcheck.mistakes import Mistake, mistakes
from bertnp.gradcheck.report import GradientError, Report
from bertnp.gradcheck.testing import assert_gradients

__all__ = [
    "GradientError",
    "Mistake",
    "Report",
    "assert_gradients",
    "check",
    "check_formula",
    "check_layer",
    "check_model",
    "compare",
    "mistakes",
    "step_sweep",
    "taylor",
]
