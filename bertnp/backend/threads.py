"""All cores for one array: its blocks, shared out among a few threads.

NumPy lets other threads run while it loops over numbers, so blocks of rows can be worked on side by side. The blocks
are the same however many threads there are, and so is every result, to the last bit.
"""

import contextvars
import os
import queue
import threading


def chosen_count():
    """How many threads somebody has asked for: BERTNP_THREADS, or what BLAS is limited to; None if nobody has."""
    for name in ("BERTNP_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        if os.environ.get(name, "").isdigit() and int(os.environ[name]) > 0:
            return int(os.environ[name])
    return None


def core_count():
    """How many threads to use: those asked for, else one for each core we may run on."""
    if hasattr(os, "sched_getaffinity"):
        return chosen_count() or len(os.sched_getaffinity(0))
    return chosen_count() or os.cpu_count() or 1


class Job:
    """A function to be called with 0, 1, …, count - 1, each number once, by whoever is free."""

    def __init__(self, function, count):
        self.function = function
        self.next, self.count, self.left = 0, count, count
        self.error = None
        self.lock = threading.Lock()
        self.finished = threading.Lock()
        self.finished.acquire()  # released by whoever does the last call

    def work(self):
        """Take numbers until there are none left."""
        while True:
            with self.lock:
                number = self.next
                if number == self.count:
                    return
                self.next += 1
            try:
                if self.error is None:
                    self.function(number)
            except BaseException as error:  # raised again in the thread that waits for the job
                self.error = error
            with self.lock:
                self.left -= 1
                if self.left == 0:
                    self.finished.release()


class Threads:
    """The helpers beside the thread that asks: as many as there are cores left, started when first needed."""

    def __init__(self):
        self.count = core_count()
        self.jobs = queue.SimpleQueue()
        self.helpers = []
        self.lock = threading.Lock()

    def start(self):
        with self.lock:
            while len(self.helpers) < self.count - 1:
                helper = threading.Thread(target=self.help, name="bertnp helper", daemon=True)
                self.helpers.append(helper)
                helper.start()

    def help(self):
        while True:
            context, job = self.jobs.get()
            context.run(job.work)
            del context, job  # what the job's function holds must not outlive the job

    def share(self, function, count):
        helpers = min(self.count, count) - 1
        if helpers < 1:
            for number in range(count):
                function(number)
            return
        if len(self.helpers) < self.count - 1:
            self.start()
        job = Job(function, count)
        for _ in range(helpers):
            self.jobs.put((contextvars.copy_context(), job))  # with the caller's np.errstate
        job.work()
        job.finished.acquire()
        job.function = None  # a helper that comes too late must not hold on to its arrays
        if job.error is not None:
            raise job.error


_threads = Threads()


SHORT = 1 << 14  # elements: NumPy is done with fewer before another thread has got the interpreter's lock


def share(function, count, size=None):
    """Call function(0), …, function(count - 1), on all cores and in any order; returns when all are done.

    size: elements that one call works on, roughly; calls on few are made one after the other, in the calling thread.

    The calling thread works too, so that calls from several threads, or from inside `function`, never wait for a
    helper that is busy. An error in one call is raised here, after the others.
    """
    if size is not None and size < SHORT:
        for number in range(count):
            function(number)
    else:
        _threads.share(function, count)


def get_threads():
    """How many threads work on one array."""
    return _threads.count


def set_threads(count):
    """Use so many threads from now on. Results do not depend on it."""
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ValueError(f"threads: expected a whole number of at least 1, got {count!r}")
    _threads.count = count


def _forget_threads():
    """A forked process has none of its parent's threads."""
    global _threads
    count, _threads = _threads.count, Threads()
    _threads.count = count


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
