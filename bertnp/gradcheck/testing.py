"""For tests: a check that fails with its report."""

from bertnp.gradcheck.checking import check
from bertnp.gradcheck.formulas import check_formula
from bertnp.gradcheck.layers import check_layer, check_model
from bertnp.nn import Module


def assert_gradients(what, *arguments, **options):
    """Check and raise GradientError, whose message is the report, unless all is well; returns the Report.

        assert_gradients("softmax", backward=my_softmax_backward)       # as check_formula
        assert_gradients(f, backward, {"x": x})                         # as check
        assert_gradients(layer, x)                                      # as check_layer
        assert_gradients(model, {"input_ids": ids, "labels": labels})   # as check_model, for one batch

    A whole test is three lines, and pytest shows the report in place of a traceback through the checker:

        from bertnp.gradcheck import assert_gradients
        def test_softmax():
            assert_gradients("softmax", backward=my_softmax_backward)
    """
    __tracebackhide__ = True
    if isinstance(what, str):
        report = check_formula(what, *arguments, **options)
    elif isinstance(what, Module):
        is_batch = len(arguments) == 1 and isinstance(arguments[0], dict)
        report = (check_model if is_batch else check_layer)(what, *arguments, **options)
    else:
        report = check(what, *arguments, **options)
    return report.raise_if_failed()
