"""Sums over the GPUs of several processes, through CuPy's own binding of NCCL. One GPU each: NCCL refuses two on one.

Everything is put on CuPy's current stream behind the kernels that are there, so that the host waits for nothing.
"""

import importlib.util
import warnings


class Nccl:
    """The connection of several processes' GPUs; all of them make one, with the same id, at the same time.

    processes: has rank, size, first and tell, such as `bertnp.training.processes.Processes`

    ValueError where NCCL is missing, or can't connect them.
    """

    def __init__(self, processes):
        self.nccl = load()
        identity = self.nccl.get_unique_id().hex() if processes.first else None
        identity = bytes.fromhex(processes.tell(identity))
        try:
            self.communicator = self.nccl.NcclCommunicator(processes.size, identity, processes.rank)
        except self.nccl.NcclError as error:
            raise ValueError(f"NCCL can't connect the GPUs ({error}): each process needs one of its own") from error

    def add_up(self, array):
        """Replace an array by its sum over all processes."""
        place, size, kind, stream = self.described(array)
        self.communicator.allReduce(place, place, size, kind, self.nccl.NCCL_SUM, stream)

    def from_first(self, array):
        """Replace an array by the first process's."""
        place, size, kind, stream = self.described(array)
        self.communicator.bcast(place, size, kind, 0, stream)

    def described(self, array):
        """An array as NCCL takes it: address, elements, their type, and the stream to put the work on."""
        import cupy

        kinds = {"float32": self.nccl.NCCL_FLOAT32, "float64": self.nccl.NCCL_FLOAT64}
        if array.dtype.name not in kinds or not array.flags.c_contiguous:
            raise TypeError(f"expected a contiguous array of {' or '.join(kinds)}, got {array.dtype} {array.shape}")
        return array.data.ptr, array.size, kinds[array.dtype.name], cupy.cuda.get_current_stream().ptr


def load():
    """CuPy's binding. Raises ValueError where NCCL's library is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy's own words about it; the error below says the same
        from cupy.cuda import nccl

        if not nccl.available:
            raise ValueError(
                "several processes with device 'cuda' need NCCL, which CuPy can't load: pip install nvidia-nccl-cu12 "
                "(or nvidia-nccl-cu13)"
            )
    return nccl


def use_gpu(place):
    """Compute on the GPU of that number, counted round, from now on. Where there is none, making a model says so."""
    if importlib.util.find_spec("cupy") is None:
        return
    import cupy

    if cupy.is_available():
        cupy.cuda.Device(place % cupy.cuda.runtime.getDeviceCount()).use()
