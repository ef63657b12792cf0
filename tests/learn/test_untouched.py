"""What a student's code changes in what judges it."""

import builtins
import json
import sys
import types

import numpy as np
import pytest

import bertnp.functional as F
from bertnp.gradcheck import check_formula, checking
from bertnp.learn.exercises import Verdict
from bertnp.learn.teaching.untouched import Untouched


def fake(*_, **__):
    return True


CHANGES = {
    "numpy.allclose": lambda patch: patch.setattr(np, "allclose", fake),
    "numpy.abs": lambda patch: patch.setattr(np, "abs", fake),
    "numpy.linalg.norm": lambda patch: patch.setattr(np.linalg, "norm", fake),
    "bertnp.gradcheck.checking.SAME": lambda patch: patch.setattr(checking, "SAME", 1e9),
    "bertnp.gradcheck.checking.RTOL": lambda patch: patch.setitem(checking.RTOL, "central", 1e9),
    "bertnp.gradcheck.checking.abs": lambda patch: patch.setattr(checking, "abs", fake, raising=False),
    "bertnp.gradcheck.checking.check": lambda patch: patch.setattr(checking.check, "__code__", fake.__code__),
    "bertnp.gradcheck.checking.Check.run": lambda patch: patch.setattr(checking.Check, "run", fake),
    "bertnp.functional.softmax_functions.softmax": lambda patch: patch.setattr(F.softmax, "body", fake),
    "bertnp.learn.exercises.Verdict.ok": lambda patch: patch.setattr(Verdict, "ok", property(fake), raising=False),
    "bertnp.learn.exercises.Verdict.__eq__": lambda patch: patch.setattr(Verdict, "__eq__", fake),
    "builtins.abs": lambda patch: patch.setattr(builtins, "abs", fake),
    "json.dumps": lambda patch: patch.setattr(json, "dumps", fake),
    "numpy.random": lambda patch: patch.setitem(sys.modules, "numpy.random", object()),
    "numpy.linalg": lambda patch: patch.setattr(np, "linalg", types.ModuleType("linalg")),
}


@pytest.fixture(scope="module")
def untouched():
    return Untouched({"bertnp", "numpy", "builtins", "json"})  # pytest changes others itself


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_found(untouched, monkeypatch, name):
    CHANGES[name](monkeypatch)
    found = untouched.changes()
    monkeypatch.undo()
    assert name in found, found
    assert untouched.changes() == []


def test_nothing_is_found_where_nothing_was_changed(untouched, monkeypatch):
    import xml.dom  # noqa: F401  a module comes as a name into its package

    check_formula("layer_norm")
    monkeypatch.setattr(np, "float", float, raising=False)  # which NumPy had once, and students put back
    monkeypatch.setattr(np, "mine", fake, raising=False)
    assert untouched.changes() == []
