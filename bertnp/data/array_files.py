"""Arrays in .npy files: written piece by piece, and read without taking them into memory."""

from array import array

import numpy as np
from numpy.lib import format as npy

TYPE_CODES = {"bool": "B", "uint8": "B", "uint16": "H", "uint32": "I", "uint64": "Q", "int64": "q"}  # of array.array


class ArrayWriter:
    """Write an array whose length isn't known yet to a .npy file.

        with ArrayWriter("ids.npy", np.uint16) as ids:
            ids.extend([101, 7592])

    columns: numbers in a row, for an array (n, columns); None for (n,)
    """

    BUFFER = 1 << 16  # numbers that are gathered before they are written

    def __init__(self, path, dtype, columns=None):
        self.dtype = np.dtype(dtype)
        self.columns = columns
        self.count = 0  # numbers written or gathered
        self._gathered = array(TYPE_CODES[self.dtype.name])
        self._file = open(path, "wb")
        self._write_header()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def extend(self, numbers):
        """Append a list of numbers; to an array with columns whole rows, one after the other."""
        self._gathered.extend(numbers)
        if len(self._gathered) >= self.BUFFER:
            self._flush()

    def close(self):
        """Write what was gathered, and the length."""
        if not self._file.closed:
            try:
                self._flush()
                self._file.seek(0)
                self._write_header()  # as long as before: NumPy leaves room for the digits of the length
            finally:
                self._file.close()

    def _flush(self):
        self._gathered.tofile(self._file)
        self.count += len(self._gathered)
        del self._gathered[:]

    def _write_header(self):
        shape = (self.count,) if self.columns is None else (self.count // self.columns, self.columns)
        header = {"descr": npy.dtype_to_descr(self.dtype), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(self._file, header)


def open_array(path, size):
    """The array in a .npy file, mapped into memory and not to be written to.

    size: the bytes that the file must have. Raises ValueError, naming the file, if it is missing, cut short or none.
    """
    if not path.is_file():
        raise ValueError(f"{path}: the file is missing")
    found = path.stat().st_size
    if found != size:
        raise ValueError(f"{path}: expected a file of {size:,} bytes, found {found:,}; it is not the one that was made")
    try:
        return np.load(path, mmap_mode="r").view(np.ndarray)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: not a readable .npy file ({error})") from None
