"""Several processes train as one does."""

import json
import sys
import types

import mpi
import numpy as np
import parallel_runs
import pytest

from bertnp.backend.nccl import Nccl
from bertnp.training import processes as module
from bertnp.training.processes import ALONE, OneProcess, Processes


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("count", [0, 1, 3, 8, 32])
def test_shares_are_all_of_a_batch_in_its_order_and_as_equal_as_can_be(count, size):
    shares = [in_place(rank, size).share(count) for rank in range(size)]
    assert [i for share in shares for i in range(count)[share]] == list(range(count))
    lengths = [share.stop - share.start for share in shares]
    assert max(lengths) - min(lengths) <= 1 and lengths[0] == max(lengths)
    turns = [list(range(count))[in_place(rank, size).turns] for rank in range(size)]
    assert sorted(sum(turns, [])) == list(range(count))


def in_place(rank, size):
    process = OneProcess()
    process.rank, process.size = rank, size
    return process


@pytest.fixture(scope="module")
def alone():
    """What the runs come to in this process."""
    return {run: parallel_runs.outcome(run) for run in parallel_runs.RUNS}


@pytest.mark.oracle("mpi4py")
@pytest.mark.parametrize("size", [2, 4])
def test_the_steps_are_those_of_one_process(alone, size, tmp_path):
    code, _, err = mpi.run(size, mpi.TESTS / "training" / "parallel_runs.py", tmp_path)
    assert code == 0, err
    every = [json.loads((tmp_path / f"{rank}.json").read_text(encoding="utf-8")) for rank in range(size)]
    assert all(outcomes == every[0] for outcomes in every)
    for run, (expected, weights) in alone.items():
        tolerance = 1e-6 if weights.dtype == np.float32 else 1e-12
        found = every[0][run]
        assert len(found["trace"]) == len(expected["trace"]) >= (50 if "dynamic" in run else 12)
        np.testing.assert_allclose(found["trace"], expected["trace"], rtol=tolerance)
        losses = [[entry["train_loss"], entry["held_out"]["loss"]] for entry in found["history"]]
        expected_losses = [[entry["train_loss"], entry["held_out"]["loss"]] for entry in expected["history"]]
        np.testing.assert_allclose(losses, expected_losses, rtol=tolerance)
        counted = ("step", "epoch", "tokens", "lr")
        for entry, other in zip(found["history"], expected["history"], strict=True):
            assert {name: entry[name] for name in counted} == {name: other[name] for name in counted}
        held = [np.load(tmp_path / f"{rank}-{run}.npy") for rank in range(size)]
        assert all(one.tobytes() == held[0].tobytes() for one in held)
        assert np.abs(held[0] - weights).max() < tolerance * np.abs(weights).max()


TALK = """
import json, os, sys
from bertnp.backend.threads import get_threads
from bertnp.training.processes import find
import numpy as np

p = find()
for value_of in (int, float, lambda rank: "x" * 498, lambda rank: "x" * 499, lambda rank: "é" * (1000 * rank)):
    assert p.gather(value_of(p.rank)) == [value_of(rank) for rank in range(3)]
assert p.tell(p.rank) == 0 and p.from_first(np.float32(0.1) + p.rank) == float(np.float32(0.1))
assert p.sum({"a": p.rank, "b": None, "c": 1 if p.rank == 1 else None}) == {"a": 3, "b": None, "c": 1}
array = np.arange(5.0) + p.rank
assert p.from_first(array) is array and array.tolist() == [0, 1, 2, 3, 4]
p.add_up(array)
assert array.tolist() == [0, 3, 6, 9, 12]
order = p.in_turn(lambda: (open(sys.argv[1], "a").write(str(p.rank)), p.rank)[1])
assert order == p.rank
p.wait()
assert open(sys.argv[1]).read()[0] == "0" and sorted(open(sys.argv[1]).read()) == ["0", "1", "2"]
cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
assert get_threads() == (int(sys.argv[2]) if len(sys.argv) > 2 else max(1, cores // 3)), get_threads()
print("all said")
"""


@pytest.mark.oracle("mpi4py")
@pytest.mark.parametrize("asked", [None, "5"])
def test_processes_speak_with_each_other_and_share_the_cores(tmp_path, asked):
    (tmp_path / "talk.py").write_text(TALK, encoding="utf-8")
    threads = {"OPENBLAS_NUM_THREADS": "", "OMP_NUM_THREADS": "", "BERTNP_THREADS": asked or ""}
    code, out, err = mpi.run(3, tmp_path / "talk.py", tmp_path / "turns", *([asked] if asked else []), **threads)
    assert code == 0 and out.count("all said") == 3, err


UNLIKE = """
import sys
from bertnp.training import Trainer
from bertnp.training.processes import find
from test_trainer import examples
from tiny_model import tiny_classifier
p = find()
try:
    Trainer(tiny_classifier(), examples(8), lr=1e-3 * (1 + p.rank), processes=p).train()
except ValueError as error:
    print(p.rank, error)
    p.wait()
else:
    p.wait()
"""


@pytest.mark.oracle("mpi4py")
def test_a_process_that_would_train_something_else_is_told(tmp_path):
    (tmp_path / "unlike.py").write_text(UNLIKE, encoding="utf-8")
    with mpi.start(2, tmp_path / "unlike.py") as launcher:
        line = launcher.stdout.readline()
        launcher.terminate()
    assert line.strip() == "1 the processes would train unlike things: of the first one lr was 0.001 and is now 0.002"


# finding the others


@pytest.fixture
def nobody(monkeypatch):
    """As if this process had been started alone, and hadn't loaded MPI."""
    for name in module.SIZES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delitem(sys.modules, "mpi4py", raising=False)
    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    return monkeypatch


def test_a_process_started_alone_does_not_load_mpi(nobody):
    nobody.setitem(sys.modules, "mpi4py.MPI", None)
    nobody.setenv("PMI_SIZE", "1")
    assert module.connect() is ALONE


@pytest.mark.parametrize("name", module.SIZES)
def test_several_processes_without_mpi_are_told_what_is_missing(nobody, name):
    nobody.setenv(name, "4")
    nobody.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ValueError, match=r"several processes need MPI \(.*\): pip install 'bertnp\[mpi\]'"):
        module.connect()


def test_processes_that_another_mpi_has_started_are_told(nobody):
    world = types.SimpleNamespace(size=1)
    mpi4py = types.ModuleType("mpi4py")
    mpi4py.MPI = types.SimpleNamespace(COMM_WORLD=world, Get_library_version=lambda: "Some MPI 4.1\nmore")
    nobody.setitem(sys.modules, "mpi4py", mpi4py)
    assert module.connect() is ALONE
    nobody.setenv("OMPI_COMM_WORLD_SIZE", "4")
    with pytest.raises(ValueError, match=r"4 processes were started, but MPI .* with none of them: .*\(Some MPI 4.1\)"):
        module.connect()


# GPUs, with a substitute for NCCL that works in the host's memory


class Memory(np.ndarray):
    """An array whose address is found as a CuPy array's is."""

    @property
    def data(self):
        return types.SimpleNamespace(ptr=self.ctypes.data)


class SubstituteNccl:
    """What CuPy's binding has of NCCL, as far as it is used; its communicators write down what they are asked."""

    available = True
    NCCL_FLOAT32, NCCL_FLOAT64, NCCL_SUM = 7, 8, 0
    NcclError = ArithmeticError
    calls = []

    @staticmethod
    def get_unique_id():
        return bytes(range(128))

    class NcclCommunicator:
        def __init__(self, ndev, commId, rank):  # noqa: N803
            if rank >= ndev:
                raise ArithmeticError("NCCL_ERROR_INVALID_USAGE")
            SubstituteNccl.calls.append(("connect", ndev, commId, rank))

        def allReduce(self, sendbuf, recvbuf, count, datatype, op, stream):  # noqa: N802
            SubstituteNccl.calls.append(("allReduce", sendbuf, recvbuf, count, datatype, op, stream))

        def bcast(self, buff, count, datatype, root, stream):
            SubstituteNccl.calls.append(("bcast", buff, count, datatype, root, stream))


class OnGpu(Processes):
    """One of three processes whose messages are answered here."""

    def __init__(self, rank, identity):
        self.rank, self.size, self.gpus, self.place, self.identity = rank, 3, None, rank, identity

    def gather(self, value):
        return [value or self.identity] * 3


@pytest.fixture
def nccl(monkeypatch):
    """A `cupy` with the substitute in it; its arrays are known as a GPU's."""
    used = []
    cuda = types.SimpleNamespace(
        nccl=SubstituteNccl, get_current_stream=lambda: types.SimpleNamespace(ptr=42),
        Device=lambda number: types.SimpleNamespace(use=lambda: used.append(number)),
        runtime=types.SimpleNamespace(getDeviceCount=lambda: 2),
    )  # fmt: skip
    cupy = types.ModuleType("cupy")
    cupy.cuda, cupy.is_available, cupy.__spec__ = cuda, lambda: True, types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "cupy.cuda", cuda)
    monkeypatch.setattr(module, "backend_of", lambda array: types.SimpleNamespace(name="cupy"))
    monkeypatch.setattr(SubstituteNccl, "calls", [])
    SubstituteNccl.used = used
    return SubstituteNccl


@pytest.mark.parametrize("rank", [0, 2])
def test_gradients_on_gpus_are_added_up_by_nccl_in_place_on_the_current_stream(nccl, rank):
    processes = OnGpu(rank, bytes(range(128)).hex())
    gradient, scale = np.zeros(1000, np.float32).view(Memory), np.zeros((), np.float64).view(Memory)
    processes.add_up(gradient)
    assert processes.from_first(scale) is scale
    processes.add_up(gradient)
    address, of_scale = gradient.data.ptr, scale.data.ptr
    assert nccl.calls == [
        ("connect", 3, bytes(range(128)), rank),  # once, with the id of the first
        ("allReduce", address, address, 1000, 7, 0, 42),
        ("bcast", of_scale, 1, 8, 0, 42),
        ("allReduce", address, address, 1000, 7, 0, 42),
    ]


def test_what_nccl_does_not_take_is_refused(nccl):
    connection = Nccl(OnGpu(0, ""))
    for array in (np.zeros(4, np.int64), np.zeros((4, 4), np.float32)[:, 1]):
        with pytest.raises(TypeError, match="expected a contiguous array of float32 or float64, got"):
            connection.add_up(array.view(Memory))
    with pytest.raises(ValueError, match=r"NCCL can't connect the GPUs \(NCCL_ERROR_INVALID_USAGE\)"):
        Nccl(OnGpu(3, "00"))
    nccl.available = False
    try:
        with pytest.raises(ValueError, match="pip install nvidia-nccl-cu12"):
            Nccl(OnGpu(0, ""))
    finally:
        nccl.available = True


@pytest.mark.parametrize(("place", "gpu"), [(0, 0), (1, 1), (2, 0)])
def test_each_process_of_a_machine_takes_a_gpu_of_its_own(nccl, place, gpu):
    OnGpu(place, "").use_own_gpu()
    assert nccl.used == [gpu]


def test_the_substitute_has_the_parameters_of_cupys_binding():
    nccl = pytest.importorskip("cupy_backends.cuda.libs.nccl", exc_type=ImportError)  # missing: CuPy, or NCCL itself
    for name in ("NCCL_FLOAT32", "NCCL_FLOAT64", "NCCL_SUM"):
        assert getattr(nccl, name) == getattr(SubstituteNccl, name)
    for name in ("allReduce", "bcast"):
        own = getattr(SubstituteNccl.NcclCommunicator, name).__code__
        named = getattr(nccl.NcclCommunicator, name).__doc__.split("(")[1].split(")")[0]
        assert [part.split()[-1] for part in named.split(",")] == list(own.co_varnames[: own.co_argcount])
    assert issubclass(nccl.NcclError, RuntimeError) and len(nccl.get_unique_id()) == 128
