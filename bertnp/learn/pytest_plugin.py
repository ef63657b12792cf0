"""For pytest: `--impl chapters/mine/ch09.py` runs the cases of the functions in a file, with these functions.

Cases are tests marked `ex` with names of functions, @pytest.mark.ex("softmax", "softmax_backward"): the library's own,
which then run on the student's functions. A file outside of the project is given as `--impl=FILE`.
"""

import contextlib

import pytest

from bertnp.learn.plugging import own_functions, plugged

BEYOND = ("strict", "complex")  # a device, and complex numbers: asked of the library, but of no exercise


def pytest_addoption(parser):
    parser.addoption("--impl", action="append", default=[], metavar="FILE.py", help="functions of your own, in a file "
                     "or a folder of files: run their cases, with them in the library's place")  # fmt: skip


def pytest_configure(config):
    """Put the functions in the place of the library's, until the end."""
    if not config.getoption("impl"):
        return
    stack = contextlib.ExitStack()
    try:
        functions, unwritten = own_functions(config.getoption("impl"))
    except ValueError as error:
        raise pytest.UsageError(f"--impl: {error}") from None
    names = stack.enter_context(plugged(functions))
    config.add_cleanup(stack.close)
    if not names:
        there = (
            f"only functions to be written yet: {', '.join(unwritten)}" if unwritten else "no function of an exercise"
        )
        raise pytest.UsageError(f"--impl: there is {there}")
    config.pluginmanager.register(OwnCode(names, unwritten), "own-code")


class OwnCode:
    """What is done where there are functions of one's own."""

    def __init__(self, names, unwritten):
        self.names, self.unwritten = names, unwritten

    def pytest_report_header(self):
        left = f"; not written yet, the library's run: {', '.join(self.unwritten)}" if self.unwritten else ""
        return f"your functions: {', '.join(self.names)}{left}"

    def pytest_collection_modifyitems(self, config, items):
        """Leave out what is about other functions."""
        left_out = [item for item in items if not self.is_theirs(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if self.is_theirs(item)]

    def is_theirs(self, item):
        marker = item.get_closest_marker("ex")
        if marker is None or set(self.names).isdisjoint(marker.args):
            return False
        values = item.callspec.params.values() if hasattr(item, "callspec") else ()
        return not any(isinstance(value, str) and value in BEYOND for value in values)
