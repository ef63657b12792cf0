"""A step takes the memory of the step before: nothing waits for the garbage collector."""

import gc

import numpy as np
import pytest
from model_cases import CASES, by_name

import bertnp
from bertnp.backend import buffers


@pytest.fixture
def all_counted(monkeypatch):
    """Small arrays are handed out from blocks, too, and no collector runs."""
    monkeypatch.setattr(buffers, "SMALL", 1)
    monkeypatch.setattr(buffers, "_blocks", buffers._Blocks())
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def held_after(steps):
    held = []
    for step in steps:
        step()
        held.append(buffers.held())
    return held


@pytest.mark.skipif(not buffers.COUNTED, reason="memory is not used again by this Python")
@pytest.mark.parametrize("case", [case for case in CASES if case.labels][::3], ids=by_name)
def test_of_every_model(case, all_counted):
    model = case.model(np.float32).train()
    optimizer = bertnp.AdamW(model)

    def train():
        model(**case.inputs, **case.labels)
        model.backward()
        optimizer.step()
        optimizer.zero_grad()

    def infer():
        with bertnp.inference():
            model(**case.inputs, **case.labels)

    for work in (train, infer):
        first, second, *others = held_after([work] * 6)
        assert first > 0
        assert set(others) == {second}
