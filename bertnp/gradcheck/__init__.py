"""The gradient checker: is a backward the derivative of its forward, and if not, what went wrong?

    from bertnp.gradcheck import check, check_formula

    print(check_formula("softmax", backward=my_softmax_backward))     # your function, on cases made to find mistakes
    print(check(f, backward, {"x": x, "weight": weight}))             # any function and its gradient
"""

from bertnp.gradcheck.checking import check
from bertnp.gradcheck.differences import step_sweep, taylor
from bertnp.gradcheck.formulas import check_formula
from bertnp.gradcheck.mistakes import Mistake, mistakes
from bertnp.gradcheck.report import GradientError, Report

__all__ = ["GradientError", "Mistake", "Report", "check", "check_formula", "mistakes", "step_sweep", "taylor"]
