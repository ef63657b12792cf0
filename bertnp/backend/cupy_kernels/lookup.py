"""The sums of gradients that go back to the rows of a table, in the order of the ids: nothing is added by atomics."""

import numpy as np

from bertnp.backend.arrays import backend_of, to_numpy
from bertnp.backend.cupy_kernels.device import FLOATS, as_rows, computed_type, empty, launch, on_device, threads_for
from bertnp.backend.formula import kernel

PIECE = 64  # rows of one id that one block adds up


@kernel("embedding_backward", backend="cupy", dtypes=FLOATS)
def embedding_backward(dy, ids, table, padding_idx=None, out=None):
    dtable = out
    if out is None:
        dtable = backend_of(table).xp.zeros(table.shape, dtype=computed_type(dy.dtype))
    dy, ids = as_rows(dy), to_numpy(ids).reshape(-1)
    order = np.argsort(ids, kind="stable")
    if padding_idx is not None:
        order = order[ids[order] != padding_idx]
    if order.size:
        add_groups(dy, order, ids[order], dtable)
    return dtable


def add_groups(dy, order, ids, dtable):
    """Add row order[i] of dy to row ids[i] of the table's gradient; ids are sorted."""
    n, width = len(ids), dy.shape[1]
    threads = threads_for(width)
    firsts = np.flatnonzero(np.append(True, ids[1:] != ids[:-1]))
    counts = np.diff(np.append(firsts, n))
    targets = ids[firsts]
    pieces = -(-counts // PIECE)  # of each id
    of_id = np.cumsum(pieces) - pieces  # each id's first piece
    number = np.arange(pieces.sum()) - np.repeat(of_id, pieces)  # of each piece inside its id
    starts = np.append(np.repeat(firsts, pieces) + number * PIECE, n)
    # one copy to the device: order, where the pieces start, where the ids' pieces start, and the ids
    parts = (order, starts, np.append(of_id, pieces.sum()), targets)
    joined = on_device(np.concatenate(parts), dy, "int32")
    ends = np.cumsum([len(part) for part in parts]).tolist()
    order, starts, of_id, targets = (joined[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True))
    if len(targets) == len(starts) - 1:
        launch(dy, "sum_groups", len(targets), threads, dy, order, starts, targets, dtable, width)
        return
    sums = empty((len(starts) - 1, width), dy, computed_type(dy.dtype))
    launch(dy, "sum_groups", len(sums), threads, dy, order, starts, None, sums, width)
    launch(dy, "sum_group_sums", len(targets), threads, sums, None, of_id, targets, dtable, width)
