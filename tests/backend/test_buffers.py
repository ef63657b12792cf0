"""Memory that is used again, but never while anybody holds an array in it."""

import gc
import threading

import numpy as np
import pytest

from bertnp.backend import buffers
from bertnp.backend.buffers import empty, held, release

N = 100_000  # elements: far above what is kept here


@pytest.fixture(autouse=True)
def no_free_memory():
    gc.collect()
    release()
    yield
    release()


def address(array):
    return array.ctypes.data


def test_arrays_are_what_was_asked_for():
    for shape, dtype in (
        ((300, 400), np.float32),
        ((N,), np.float64),
        ((7, 100, 100), bool),
        ((3,), np.int32),
        ((), "f4"),
    ):
        array = empty(shape, dtype)
        assert array.shape == shape and array.dtype == dtype
        assert array.flags.c_contiguous and array.flags.writeable
    assert empty((0, N)).shape == (0, N)
    assert empty((N,)).dtype == np.float32
    for size in (N, N + 1, N + 3):
        assert address(empty((size,))) % 64 == 0


def test_memory_is_used_again_when_nobody_holds_it():
    first = empty((N,))
    place = address(first)
    del first
    again = empty((N,))
    assert address(again) == place
    smaller = empty((N - 500,))
    assert address(smaller) != place


@pytest.mark.parametrize(
    "keep",
    [
        lambda x: x,
        lambda x: x[5:7],
        lambda x: x.reshape(10, -1).T[3],
        lambda x: x.view(np.int32)[:1],
        lambda x: memoryview(x),
        lambda x: {"in": [x[:1]]},
        lambda x: iter(x),
        lambda x: lambda: x,
        lambda x: np.asarray(x),
        lambda x: np.frombuffer(x, np.uint8),
        lambda x: np.broadcast_to(x[:1], (5, 1)),
        lambda x: x.flat,
    ],
)
def test_memory_that_is_held_is_not_used_again(keep):
    first = empty((N,))
    place = address(first)
    kept = keep(first)
    del first
    assert address(empty((N,))) != place
    del kept
    gc.collect()
    assert address(empty((N,))) == place


def test_a_steady_user_needs_no_more_memory():
    def step():
        saved = [empty((N + i,)) for i in range(5)]
        for x in saved:
            x[...] = 1
            y = empty((N,))
            y[...] = x[:N]
        return saved[0][:10].copy()

    step()
    before = held()
    for _ in range(20):
        step()
    assert held() == before > 5 * 4 * N


def test_memory_no_longer_used_is_given_back():
    large = empty((64 * N,))
    del large
    before = held()
    for _ in range(buffers.STALE + 2):
        empty((N,))
    kept = [empty((N,)) for _ in range(3)]
    assert held() < before / 4
    assert len(kept) == 3


def test_release_gives_free_memory_back_and_no_other():
    kept, free = empty((N,)), empty((N,))
    kept[...] = 7
    del free
    before = held()
    release()
    assert 0 < held() < before
    empty((N,))[...] = 0
    assert (kept == 7).all()


def test_threads_do_not_share_memory():
    """What one of them gives back only that one is given again, so their lists of free memory need no lock."""
    place = address(empty((N,)))
    elsewhere = []

    def work():
        for _ in range(2):
            elsewhere.append(address(empty((N,))))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert elsewhere[0] == elsewhere[1] != place
    assert address(empty((N,))) == place


def test_an_array_may_outlive_its_thread():
    made = []

    def make():
        made.append(empty((N,)))
        made[0][...] = 3

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    gc.collect()
    others = [empty((N,)) for _ in range(4)]
    for other in others:
        other[...] = 0
    assert (made[0] == 3).all()


def test_without_counted_references_memory_is_fresh(monkeypatch):
    monkeypatch.setattr(buffers, "COUNTED", False)
    before = held()
    first = empty((N,))
    assert first.base is None and held() == before
