"""Several processes that train one model together: each has its share of every batch, and their gradients are added up.

A launcher starts them, on one machine or on many, and MPI (through mpi4py) lets them speak with each other:

    mpiexec -n 4 python -m mpi4py -m bertnp pretrain ...

All hold the whole model. As long as all add up the same gradients, all make the same step, and nothing else need be
sent. Gradients on GPUs are added up by NCCL.
"""

import json
import os
import sys
import time

import numpy as np

from bertnp import blas
from bertnp.backend import backend_of, is_array
from bertnp.backend.threads import chosen_count, set_threads

SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")  # how many a launcher says that it has started
TRIES = 50  # looks at a message that has not come yet before the processor is left to others
PAUSE = 5e-5  # seconds between two looks after that
ENVELOPE = np.dtype([("size", np.int64), ("text", "S500")])  # of a short message; a longer one is sent after it


class OneProcess:
    """A process that trains alone, and what several do otherwise."""

    rank, size = 0, 1

    @property
    def first(self):
        """Whether this is the process that prints and writes."""
        return self.rank == 0

    def share(self, count):
        """Which of a batch's `count` examples are this process's: a slice. The last ones get none of too few."""
        return slice(*(-(-count * rank // self.size) for rank in (self.rank, self.rank + 1)))

    @property
    def turns(self):
        """Which of a sequence are this process's when they are dealt out one after the other: a slice."""
        return slice(self.rank, None, self.size)

    def in_turn(self, work):
        """work() in the first process, and after that in the others, which find there what it has made."""
        result = work() if self.first else None
        self.wait()
        return result if self.first else work()

    def gather(self, value):
        """The values of all processes, in their order, anything that JSON can hold; all wait for each other."""
        return [value]

    def wait(self):
        """Wait until all processes have come here."""
        self.gather(None)

    def tell(self, value):
        """The first process's value."""
        return self.gather(value)[0]

    def sum(self, numbers):
        """{name: number} added up over all processes, in their order; None where none has a number."""
        every = self.gather(numbers)
        given = {name: [one[name] for one in every if one[name] is not None] for name in numbers}
        return {name: sum(values) if values else None for name, values in given.items()}

    def add_up(self, array):
        """Replace an array by its sum over all processes."""

    def from_first(self, value):
        """The first process's number or array; an array is overwritten."""
        return value

    def use_own_gpu(self):
        """Compute on a GPU of one's own from now on."""


class Processes(OneProcess):
    """The processes that MPI connects. Each uses its share of the cores from now on, unless it was told how many.

    mpi: the module mpi4py.MPI
    """

    def __init__(self, mpi):
        self.mpi = mpi
        self.world = mpi.COMM_WORLD.Dup()
        self.rank, self.size = self.world.rank, self.world.size
        self.gpus = None  # NCCL's connection, made when the first array on a GPU is added up
        mine = [mpi.Get_processor_name(), sorted(cores())]
        every = self.gather(mine)
        self.place = sum(machine == mine[0] for machine, _ in every[: self.rank])  # among those of this machine
        if chosen_count() is None:
            threads = max(1, len(mine[1]) // every.count(mine))
            set_threads(threads)
            blas.set_threads(threads)

    def complete(self, request):
        """Wait for a message without keeping the processor from processes that still compute."""
        tries = 0
        while not request.Test():
            tries += 1
            if tries > TRIES:
                time.sleep(PAUSE)

    def gather(self, value):
        text = json.dumps(value).encode()
        envelope, envelopes = np.zeros(1, ENVELOPE), np.empty(self.size, ENVELOPE)
        envelope["size"], envelope["text"] = len(text), text[: ENVELOPE["text"].itemsize]
        self.complete(self.world.Iallgather(envelope.view(np.uint8), envelopes.view(np.uint8)))
        sizes = envelopes["size"]
        if sizes.max() <= ENVELOPE["text"].itemsize:
            return [json.loads(text) for text in envelopes["text"].tolist()]
        every = np.empty(sizes.sum(), np.uint8)
        self.complete(self.world.Iallgatherv(np.frombuffer(text, np.uint8), [every, sizes]))
        return [json.loads(part.tobytes()) for part in np.split(every, sizes.cumsum()[:-1])]

    def add_up(self, array):
        if backend_of(array).name == "numpy":
            self.complete(self.world.Iallreduce(self.mpi.IN_PLACE, array))
        else:
            self.connect_gpus().add_up(array)

    def from_first(self, value):
        if not is_array(value):
            number = np.array([value], np.float64)
            self.complete(self.world.Ibcast(number))
            return number.item()
        if backend_of(value).name == "numpy":
            self.complete(self.world.Ibcast(value))
        else:
            self.connect_gpus().from_first(value)
        return value

    def connect_gpus(self):
        if self.gpus is None:
            from bertnp.backend.nccl import Nccl

            self.gpus = Nccl(self)
        return self.gpus

    def use_own_gpu(self):
        from bertnp.backend.nccl import use_gpu

        use_gpu(self.place)

    def part(self):
        """Part from the others, in all processes at the same place; the first one may still have to save and draw.

        How each ends after that is its own affair. MPI would wait for it, too, but keep the processor busy meanwhile.
        """
        self.wait()
        self.mpi.Finalize()

    def end(self, code):
        """End all processes at once, with this exit code."""
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what MPI says about it is no news
        self.mpi.COMM_WORLD.Abort(code)


ALONE = OneProcess()
_found = None


def find():
    """The processes that a launcher has started together with this one; ALONE where there are no others.

    ValueError where they can't speak with each other.
    """
    global _found
    if _found is None:
        _found = connect()
    return _found


def connect():
    started = max([int(os.environ[name]) for name in SIZES if os.environ.get(name, "").isdigit()], default=1)
    if started == 1 and "mpi4py" not in sys.modules:
        return ALONE
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise ValueError(f"several processes need MPI ({error}): pip install 'bertnp[mpi]'") from None
    if MPI.COMM_WORLD.size > 1:
        return Processes(MPI)
    if started > 1:
        raise ValueError(
            f"{started} processes were started, but MPI connects this one with none of them: take the mpiexec that "
            f"belongs to mpi4py's MPI ({MPI.Get_library_version().split(chr(10))[0].strip()})"
        )
    return ALONE


def cores():
    """The numbers of the cores that this process may run on."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
