"""pytest --impl on a few tests made up for it; tests/cli/test_learn.py runs it on the library's own cases."""

import pytest

from bertnp.functional import softmax
from bertnp.learn.exercises import exercise_of
from bertnp.learn.stubbing import stub

pytest_plugins = ["pytester"]

TESTS = """
import numpy as np, pytest
from bertnp.functional import softmax

@pytest.mark.ex("softmax")
@pytest.mark.parametrize("device", ["numpy", "strict"])
def test_device(device):
    np.testing.assert_allclose(softmax(np.zeros(2)), 0.5)
    assert device == "numpy"

@pytest.mark.ex("softmax", "softmax_backward")
@pytest.mark.parametrize("x", [np.zeros(3)])
def test_both(x):
    assert softmax(x).sum() == 1

@pytest.mark.ex("gelu")
def test_other():
    assert False

def test_none():
    assert False
"""
HALVES = "def softmax(x):\n    return x * 0 + 0.5\n"


@pytest.fixture
def run(pytester, monkeypatch):
    """Run the tests with --impl of a file's text."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini("[pytest]\nmarkers =\n    ex")
    pytester.makepyfile(test_sample=TESTS)

    def run(text, path="mine.py"):
        if text is not None:
            pytester.path.joinpath("mine.py").write_text(text, encoding="utf-8")
        arguments = ["-p", "bertnp.learn.pytest_plugin", f"--impl={path}", "-p", "no:cacheprovider", "test_sample.py"]
        return pytester.runpytest_inprocess(*arguments)

    return run


def test_only_cases_of_ones_own_run_and_on_them(run):
    body = softmax.body
    done = run(HALVES)
    done.assert_outcomes(passed=1, failed=1, deselected=3)
    done.stdout.fnmatch_lines(["your functions: softmax", "*test_both*"])
    assert softmax.body is body  # afterwards the library's again
    right = HALVES.replace("x * 0 + 0.5", "x * 0 + 1 / x.shape[-1]")
    run(right).assert_outcomes(passed=2, deselected=3)


def test_what_is_not_written_yet_is_the_librarys(run):
    done = run(HALVES + stub(exercise_of("softmax_backward")))
    done.stdout.fnmatch_lines(["your functions: softmax; not written yet, the library's run: softmax_backward"])


@pytest.mark.parametrize("text, words", [
    (None, "*--impl: mine.py: there is no such file*"),
    ("def softmax(x:", "*--impl: mine.py:1: '(' was never closed*"),
    ("def mine(x): pass", "*--impl: there is no function of an exercise*"),
    (stub(exercise_of("softmax")), "*--impl: there is only functions to be written yet: softmax*"),
])  # fmt: skip
def test_clear_errors(run, text, words):
    done = run(text)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([words])
