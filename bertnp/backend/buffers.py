"""Memory for results of NumPy kernels that is used again, step after step, instead of being asked for anew.

Fresh memory costs as much as the arithmetic done in it: the operating system hands it out page by page and zeroes
each. So large arrays are views of memory blocks kept here. A block is free once nothing refers to it but the list
below: whoever holds an array, or a view of one, holds its block. What was handed out is therefore never overwritten.
"""

import math
import sys
import threading

import numpy as np

SMALL = 1 << 15  # bytes: below this, memory comes from a heap that is used again anyway
ALIGNMENT = 64  # bytes: a cache line, an AVX-512 register
STALE = 4096  # blocks not handed out for so many calls are given back when memory is asked for next

COUNTED = sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)()


class _Block:
    """Memory of a fixed capacity, the offset of its first aligned byte, and the last call it was handed out in."""

    __slots__ = ("memory", "start", "used")

    def __init__(self, capacity):
        self.memory = np.empty(capacity + ALIGNMENT, np.uint8)
        self.start = -self.memory.ctypes.data % ALIGNMENT
        self.used = 0


def _references(block):
    return sys.getrefcount(block.memory)


_IDLE = _references(_Block(0))  # what the count is when there is no view


class _Blocks(threading.local):
    """Each thread has its own, so that nothing needs a lock. Arrays may be handed to other threads."""

    def __init__(self):
        self.by_capacity = {}  # capacity in bytes, a power of two -> blocks
        self.calls = 0

    def find(self, size):
        """A free block of at least `size` bytes: the first in the list, so that the same few are used again."""
        self.calls += 1
        capacity = 1 << (size - 1).bit_length()
        for larger in (capacity, 2 * capacity):
            for block in self.by_capacity.get(larger, ()):
                if _references(block) == _IDLE:
                    block.used = self.calls
                    return block
        self.drop(lambda block: self.calls - block.used > STALE)
        block = _Block(capacity)
        block.used = self.calls
        self.by_capacity.setdefault(capacity, []).append(block)
        return block

    def drop(self, unwanted):
        for capacity, blocks in self.by_capacity.items():
            self.by_capacity[capacity] = [b for b in blocks if _references(b) != _IDLE or not unwanted(b)]


_blocks = _Blocks()


def empty(shape, dtype=np.float32):
    """Like np.empty, 64-byte aligned where large, from memory that was used before where there is some.

    It belongs to whoever holds it: its memory is used again only when no array refers to it any more.
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < SMALL or not COUNTED:
        return np.empty(shape, dtype)
    block = _blocks.find(size)
    return block.memory[block.start : block.start + size].view(dtype).reshape(shape)


def release():
    """Give the free memory of the calling thread back to the system."""
    _blocks.drop(lambda block: True)


def held():
    """Bytes of memory that the calling thread keeps, handed out or free."""
    return sum(capacity * len(blocks) for capacity, blocks in _blocks.by_capacity.items())
