"""Finding, reading and writing the files that hold a model's weights, in one piece or in several (shards)."""

import json
import re
import struct
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from bertnp.backend.files import atomic_path
from bertnp.models.torch_file import TorchFile

SAFETENSORS_FILE = "model.safetensors"
SAFETENSORS_INDEX = "model.safetensors.index.json"
TORCH_FILE = "pytorch_model.bin"
TORCH_INDEX = "pytorch_model.bin.index.json"
SAFETENSORS_PATTERNS = ["model.safetensors", "model-*.safetensors", SAFETENSORS_INDEX]
TORCH_PATTERNS = ["pytorch_model.bin", "pytorch_model-*.bin", TORCH_INDEX]
SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


class SafetensorsFile:
    """The tensors of one safetensors file, mapped into memory, each read when asked for.

    The file is unmapped by `close` (or at the end of `with`), so that it can be replaced afterwards.

    Chapter 15, equations 15.1 and 15.2.
    """

    def __init__(self, path):
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"there is no file {self.path}")
        try:
            self._file = safe_open(self.path, framework="numpy")
        except (SafetensorError, ValueError, OSError) as error:
            raise ValueError(f"{self.path}: not a whole safetensors file ({error})") from None
        self.names = list(self._file.keys())

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        self._file.__exit__(None, None, None)

    def shape(self, name):
        return tuple(self._file.get_slice(name).get_shape())

    def read(self, name):
        """The tensor as a new NumPy array; bfloat16 becomes float32, all else keeps its type."""
        dtype = self._file.get_slice(name).get_dtype()
        if dtype == "BF16":
            return self._read_bfloat16(name)
        try:
            return self._file.get_tensor(name)
        except (SafetensorError, AttributeError, TypeError):
            raise ValueError(f"{self.path}: {name} is of type {dtype}, which NumPy doesn't have") from None

    def _read_bfloat16(self, name):
        """NumPy has no bfloat16: it is the upper half of a float32, so the bytes are read and shifted into place."""
        with open(self.path, "rb") as file:
            (header_length,) = struct.unpack("<Q", file.read(8))
            entry = json.loads(file.read(header_length))[name]
            begin, end = entry["data_offsets"]  # from the end of the header; checked by the library on opening
            file.seek(begin, 1)
            halves = np.frombuffer(file.read(end - begin), "<u2").reshape(entry["shape"])
        return (halves.astype(np.uint32) << 16).view(np.float32)


class WeightFiles:
    """All tensors of a checkpoint folder, wherever they lie: `names`, `file(name)`, `shape(name)`, `read(name)`.

    Looks for model.safetensors, its shards, pytorch_model.bin, its shards, in this order. To be used in `with`.
    Raises FileNotFoundError or ValueError, one line naming the file.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise FileNotFoundError(f"there is no folder {self.folder}")
        self._files = {}  # name of a tensor -> the open file that holds it
        with ExitStack() as opened:
            if (self.folder / SAFETENSORS_FILE).is_file():
                self._take_all(opened, SafetensorsFile, SAFETENSORS_FILE)
            elif (self.folder / SAFETENSORS_INDEX).is_file():
                self._take_shards(opened, SafetensorsFile, SAFETENSORS_INDEX)
            elif (self.folder / TORCH_FILE).is_file():
                self._take_all(opened, TorchFile, TORCH_FILE)
            elif (self.folder / TORCH_INDEX).is_file():
                self._take_shards(opened, TorchFile, TORCH_INDEX)
            else:
                raise FileNotFoundError(f"there are no weights in {self.folder}: neither {SAFETENSORS_FILE} nor "
                                        f"{TORCH_FILE}, nor shards of either with their index")  # fmt: skip
            self._opened = opened.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._opened.close()

    @property
    def names(self):
        return list(self._files)

    def file(self, name):
        """The path of the file that holds the tensor."""
        return self._files[name].path

    def shape(self, name):
        return self._files[name].shape(name)

    def read(self, name):
        return self._files[name].read(name)

    def _open(self, opened, kind, file_name):
        path = self.folder / file_name
        if path.is_file():
            with open(path, "rb") as file:
                if file.read(24) == b"version https://git-lfs.":
                    raise ValueError(f"{path}: only a Git LFS pointer, not the weights: fetch them with 'git lfs pull'")
        return opened.enter_context(kind(path))

    def _take_all(self, opened, kind, file_name):
        file = self._open(opened, kind, file_name)
        self._files = dict.fromkeys(file.names, file)

    def _take_shards(self, opened, kind, index_name):
        path = self.folder / index_name
        try:
            places = json.loads(path.read_bytes().decode("utf-8"))["weight_map"]
            places = {str(name): str(file_name) for name, file_name in places.items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{path}: not an index of shards ({type(error).__name__}: {error})") from None
        shards = {}
        for name, file_name in places.items():
            if file_name not in shards:
                if not re.fullmatch(r"[\w-][\w.-]*", file_name):  # a file of this folder, not a path out of it
                    raise ValueError(f"{path}: {file_name!r} is not the name of a file beside it")
                shards[file_name] = self._open(opened, kind, file_name)
            if name not in shards[file_name].names:
                raise ValueError(f"{path}: {name!r} should be in {file_name}, but is not")
            self._files[name] = shards[file_name]


def save_weights(folder, arrays, max_shard_size=None, also=None):
    """Write tensors into `folder` as model.safetensors, or as shards of at most `max_shard_size` with their index.

    arrays: {name: (shape, item size, function that gives the array)}; an array is asked for when its file is written.
    max_shard_size: bytes, or a text such as "500MB"; a tensor larger than it gets a file of its own. None: one file.
    also: {file name: text} to be put in place together with the weights.

    All files are written beside their places first and then renamed, so a crash leaves the old ones; weight files of
    an earlier save that would be read in place of the new ones, or would lie around, are removed last.
    """
    folder = Path(folder)
    shards = _split(arrays, _bytes(max_shard_size))
    texts = dict(also or {})
    file_names = [SAFETENSORS_FILE]
    if len(shards) > 1:
        file_names = [f"model-{i:05}-of-{len(shards):05}.safetensors" for i in range(1, len(shards) + 1)]
        places = {name: file_name for file_name, shard in zip(file_names, shards, strict=True) for name in shard}
        total_size = sum(_size(entry) for entry in arrays.values())
        index = {"metadata": {"total_size": total_size}, "weight_map": places}
        texts[SAFETENSORS_INDEX] = json.dumps(index, indent=2, sort_keys=True) + "\n"
    with ExitStack() as renames:  # carried out in reverse: the weights first, then the texts that describe them
        for file_name, text in texts.items():
            path = renames.enter_context(atomic_path(folder / file_name))
            path.write_text(text, encoding="utf-8", newline="\n")
        for file_name, shard in zip(file_names, shards, strict=True):
            path = renames.enter_context(atomic_path(folder / file_name))
            tensors = {name: np.asarray(arrays[name][2](), order="C") for name in shard}
            save_file(tensors, path, metadata={"format": "pt"})
    for path in folder.iterdir():
        is_weights = path.name in (SAFETENSORS_FILE, SAFETENSORS_INDEX) or SHARD.fullmatch(path.name)
        if is_weights and path.name not in file_names and path.name not in texts:
            path.unlink()


def _size(entry):
    shape, itemsize, _ = entry
    return int(np.prod(shape, dtype=np.int64)) * itemsize


def _split(arrays, max_size):
    """The names in their order, in groups of at most `max_size` bytes, each of at least one name."""
    shards, size = [[]], 0
    for name, entry in arrays.items():
        if shards[-1] and max_size is not None and size + _size(entry) > max_size:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += _size(entry)
    return shards


def _bytes(size):
    """A number of bytes, or a text such as "500MB" (10⁶) or "2GiB" (2³⁰)."""
    if isinstance(size, str):
        match = re.fullmatch(r"(\d+)\s*([KMG]I?B)", size.strip().upper())
        if match:
            size = int(match[1]) * UNITS[match[2]]
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
        raise ValueError(f'max_shard_size must be a number of bytes or a text such as "500MB", got {size!r}')
    return size
