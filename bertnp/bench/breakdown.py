"""Where the time of one training step goes: seconds for each formula, without those of the formulas it calls."""

import threading
import time
from collections import defaultdict
from contextlib import contextmanager

from bertnp.backend import Formula


class Clock:
    """Counts calls of every formula and the seconds spent in it, while `running`, in the thread that made the clock."""

    def __init__(self):
        self.thread = threading.get_ident()
        self.seconds = defaultdict(float)
        self.calls = defaultdict(int)
        self._inner = [0.0]  # seconds of the formulas called so far by the one that runs, and by those around it

    @contextmanager
    def running(self):
        call, clock = Formula.__call__, self

        def timed_call(formula, *args, **kwargs):
            if threading.get_ident() != clock.thread:
                return call(formula, *args, **kwargs)
            clock._inner.append(0.0)
            began = time.perf_counter()
            try:
                return call(formula, *args, **kwargs)
            finally:
                seconds = time.perf_counter() - began
                clock.seconds[formula.name] += seconds - clock._inner.pop()
                clock.calls[formula.name] += 1
                clock._inner[-1] += seconds

        Formula.__call__ = timed_call
        try:
            yield
        finally:
            Formula.__call__ = call


def breakdown(run, steps=3):
    """Time `steps` calls of run(): {"seconds": of one, "formulas": [[name, seconds, calls], ...]}, the longest first.

    What is no formula's stands under the name "outside formulas".
    """
    clock = Clock()
    began = time.perf_counter()
    with clock.running():
        for _ in range(steps):
            run()
    total = (time.perf_counter() - began) / steps
    rows = [[name, seconds / steps, clock.calls[name] / steps] for name, seconds in clock.seconds.items()]
    rows.append(["outside formulas", total - sum(seconds for _, seconds, _ in rows), 1])
    return {"seconds": total, "formulas": sorted(rows, key=lambda row: -row[1])}
