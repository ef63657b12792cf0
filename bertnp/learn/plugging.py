"""Putting a student's functions in the place of the library's, everywhere."""

import contextlib
import sys

from bertnp.backend.formula import FORMULAS, Formula
from bertnp.learn.exercises import registry


def replaceable():
    """{name: the library's function} of all exercises, those without an answer in the library left out."""
    sources = {name: source for exercise in registry().values() for name, source in exercise.source.items()}
    return {name: source for name, source in sources.items() if stands_in_library(name, source)}


def stands_in_library(name, source):
    return source.__name__ == name and not source.__module__.startswith("bertnp.learn.")


@contextlib.contextmanager
def plugged(functions):
    """Inside this block the functions of these names replace the library's; all else stays.

    A formula's kernels are off meanwhile, and those of the formulas that call it. functions: {name: function}, as from
    `load`; names of formulas, or of functions that an exercise is made from. Others are left out. Gives the names.
    """
    known = replaceable()
    with contextlib.ExitStack() as stack:
        replaced = []
        for name, function in functions.items():
            source = FORMULAS.get(name, known.get(name))
            if source is not None:
                stack.enter_context((_formula if isinstance(source, Formula) else _attribute)(source, function))
                replaced.append(name)
        yield replaced


@contextlib.contextmanager
def _formula(source, function):
    before = source.body
    source.replace(function)
    try:
        yield
    finally:
        source.replace(before)


@contextlib.contextmanager
def _attribute(source, function):
    """Replace a plain function, or a method, in every module and class of bertnp that holds it."""
    _swap(source, function)
    try:
        yield
    finally:
        _swap(function, source)  # modules that were imported meanwhile, too


def _swap(old, new):
    for module in [m for name, m in list(sys.modules.items()) if name.partition(".")[0] == "bertnp" and m is not None]:
        holders = [module, *(v for v in vars(module).values() if isinstance(v, type))]
        for holder in holders:
            for name, value in list(vars(holder).items()):
                if value is old:
                    setattr(holder, name, new)
