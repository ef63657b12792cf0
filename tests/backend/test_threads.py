"""Blocks shared out among threads: each done once, errors and np.errstate carried over, no call waits for another."""

import os
import signal
import threading
import weakref

import numpy as np
import pytest

from bertnp.backend import threads
from bertnp.backend.threads import SHORT, share


@pytest.fixture(params=[1, 2, 4], autouse=True)
def count(request):
    before = threads.get_threads()
    threads.set_threads(request.param)
    yield request.param
    threads.set_threads(before)


def test_every_number_is_called_once(count):
    calls = []
    for numbers in (0, 1, 2, 100):
        calls.clear()
        assert share(calls.append, numbers) is None
        assert sorted(calls) == list(range(numbers))


def test_as_many_threads_as_asked_for(count):
    """All of them at once: each waits until every other has begun."""
    barrier = threading.Barrier(count, timeout=20)
    seen = set()

    def work(number):
        seen.add(threading.get_ident())
        barrier.wait()

    share(work, count)
    assert len(seen) == count and threading.get_ident() in seen


def test_calls_on_few_elements_stay_in_the_calling_thread(count, monkeypatch):
    """In their order, and no helper is asked; calls on many are shared."""
    barrier = threading.Barrier(count, timeout=20)
    share(lambda number: barrier.wait(), count, SHORT)
    monkeypatch.setattr(threads._threads, "share", None)
    calls = []
    share(lambda number: calls.append((number, threading.get_ident())), 20, SHORT - 1)
    assert calls == [(number, threading.get_ident()) for number in range(20)]


def test_an_error_is_raised_where_the_work_was_asked_for(count):
    def work(number):
        if number == 3:
            raise ValueError("the third")

    with pytest.raises(ValueError, match="the third"):
        share(work, 10)
    calls = []
    share(calls.append, 10)
    assert len(calls) == 10


def test_floating_point_errors_are_handled_as_the_caller_says(count):
    """Where there are helpers, only they divide."""
    x, caller = np.zeros(4), threading.get_ident()
    barrier = threading.Barrier(count, timeout=20)
    settings = []

    def divide(number):
        barrier.wait()  # each thread has one number
        settings.append(np.geterr()["invalid"])
        if count == 1 or threading.get_ident() != caller:
            x / x

    with np.errstate(invalid="raise"), pytest.raises(FloatingPointError):
        share(divide, count)
    with np.errstate(invalid="ignore"):
        share(divide, count)
    assert settings[-count:] == ["ignore"] * count


def test_calls_from_inside_and_from_other_threads(count):
    """Nobody waits for a helper that is busy."""
    totals = [0] * 8

    def outer(number):
        parts = []
        share(parts.append, 5)
        totals[number] += sum(parts)

    def caller():
        share(outer, 8)

    callers = [threading.Thread(target=caller) for _ in range(3)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(30)
    assert totals == [30] * 8


def test_what_a_job_holds_is_let_go():
    class Held:
        pass

    held = Held()
    alive = threading.Event()
    weakref.finalize(held, alive.set)

    def work(number, held=held):
        pass

    share(work, 4)
    del work, held
    assert alive.wait(5)


def test_number_of_threads(monkeypatch):
    for value in (0, -1, 1.5, "2", True):
        with pytest.raises(ValueError, match="threads: expected a whole number of at least 1, got"):
            threads.set_threads(value)
    for name in ("BERTNP_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    cores = threads.core_count()
    assert cores >= 1
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert threads.core_count() == 5
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "none")
    assert threads.core_count() == 5
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    assert threads.core_count() == 7
    monkeypatch.setenv("BERTNP_THREADS", "3")
    assert threads.core_count() == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_starts_helpers_of_its_own(count):
    share(lambda number: None, 4)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(60)
            barrier = threading.Barrier(count, timeout=20)
            share(lambda number: barrier.wait(), count)  # every helper is needed
            code = int(threads.get_threads() != count)
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
