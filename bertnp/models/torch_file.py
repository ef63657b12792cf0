"""Reading pytorch_model.bin: a reader of pickles that can build tensors and cannot do anything else.

A .bin file is a pickle (a small program for a stack machine) that describes tensors as views of numbered storages,
and beside it the raw bytes of the storages. Python's own `pickle` would import and call whatever the program names.
The machine here has no import and no call: it knows the handful of names in `BUILDERS` and `STORAGE_TYPES`, and stops
with an error at any other, before anything came of it.

Two forms exist. Since PyTorch 1.6 the file is a zip: `<top>/data.pkl` is the pickle, `<top>/data/<key>` are the
storages. Before that it was five pickles in a row (a magic number, a protocol number, facts on the machine, the
tensors, the list of storage keys), then the storages in the order of that list, each after its length.
"""

import io
import math
import pickletools
import reprlib
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
PICKLE_LIMIT = 16 * 2**20  # bytes; the pickle of a BERT has some 20 kB
REPEATED_LIMIT = 2**24  # elements of a view that repeats the elements of its storage

# The name of each storage type, and how its elements lie in the file. bfloat16 is the upper half of a float32.
STORAGE_TYPES = {
    "torch FloatStorage": "f4",
    "torch DoubleStorage": "f8",
    "torch HalfStorage": "f2",
    "torch BFloat16Storage": "bfloat16",
    "torch LongStorage": "i8",
    "torch IntStorage": "i4",
    "torch ShortStorage": "i2",
    "torch CharStorage": "i1",
    "torch ByteStorage": "u1",
    "torch BoolStorage": "?",
}


# What a broken file makes the modules underneath raise.
BROKEN = (OSError, ValueError, OverflowError, EOFError, MemoryError, struct.error, zipfile.BadZipFile, RuntimeError)


@dataclass(frozen=True)
class Global:
    """A name the pickle mentions and the machine knows."""

    name: str


@dataclass(frozen=True)
class Storage:
    """`elements` elements from number `first` of the storage `key`, which has `whole` of them."""

    key: str
    type: str  # one of the values of STORAGE_TYPES
    whole: int
    first: int
    elements: int


@dataclass(frozen=True)
class TensorView:
    """Where a tensor lies: element (i, j, ...) is element `offset + i stride[0] + j stride[1] + ...` of its storage."""

    storage: Storage
    offset: int
    shape: tuple
    stride: tuple


class TorchFile:
    """The tensors of one .bin file, each read when asked for: `names`, `shape(name)`, `read(name)`.

    with TorchFile("pytorch_model.bin") as file:
        arrays = {name: file.read(name) for name in file.names}

    Raises FileNotFoundError, or ValueError with one line naming the file: if it holds anything but a dictionary of
    tensors, if it is cut off, or if a tensor reaches beyond its storage.
    """

    def __init__(self, path):
        self.path = Path(path)
        self._last_read = (None, None)  # tensors that share a storage mostly follow each other
        self._zip = None
        try:
            self._file = open(self.path, "rb")
        except FileNotFoundError:
            raise FileNotFoundError(f"there is no file {self.path}") from None
        try:
            start = self._file.read(4)
            self._size = self._file.seek(0, io.SEEK_END)
            self._file.seek(0)
            tensors = self._open_zip() if start == b"PK\x03\x04" else self._open_legacy()
            self._tensors = self._checked(tensors)
        except BROKEN as error:
            self.close()
            raise ValueError(f"{self.path}: {_one_line(error)}") from None
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        self._last_read = (None, None)
        if self._zip is not None:
            self._zip.close()
        self._file.close()

    @property
    def names(self):
        return list(self._tensors)

    def shape(self, name):
        return self._tensors[name].shape

    def read(self, name):
        """The tensor as a new NumPy array of its own shape; bfloat16 becomes float32, all else keeps its type."""
        view = self._tensors[name]
        storage = view.storage
        stored = np.dtype("u2" if storage.type == "bfloat16" else storage.type).newbyteorder(self._byte_order)
        try:
            if 0 in view.shape:
                array = np.empty(view.shape, stored)
            else:
                data = self._read_storage(storage.key)
                flat = np.frombuffer(data, stored, storage.elements, storage.first * stored.itemsize)[view.offset :]
                # The place of the last element was checked on opening, so the strides stay inside `flat`.
                pairs = zip(view.shape, view.stride, strict=True)
                steps = [step * stored.itemsize if n > 1 else 0 for n, step in pairs]
                array = np.lib.stride_tricks.as_strided(flat, view.shape, steps, writeable=False)
        except BROKEN as error:
            raise ValueError(f"{self.path}: {_one_line(f'{name} cannot be read: {error}')}") from None
        if storage.type == "bfloat16":
            return (array.astype(np.uint32, order="C") << 16).view(np.float32)
        return array.astype(stored.newbyteorder("="), order="C")

    def _open_zip(self):
        self._zip = zipfile.ZipFile(self._file)
        entries = {entry.filename: entry for entry in self._zip.infolist()}
        pickles = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise ValueError("a zip file, but not one of PyTorch's: it has no single <top>/data.pkl")
        top = pickles[0].removesuffix("data.pkl")
        for entry in entries.values():
            # PyTorch never compresses, so what an entry unpacks to is no more than the file itself.
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > self._size:
                raise ValueError(f"its entry {reprlib.repr(entry.filename)} is compressed, which PyTorch never does")
        size = entries[pickles[0]].file_size
        if size > PICKLE_LIMIT:
            raise ValueError(f"its pickle has {size} bytes, more than the {PICKLE_LIMIT} allowed")
        byte_order = self._zip.read(f"{top}byteorder") if f"{top}byteorder" in entries else b"little"
        if byte_order not in (b"little", b"big"):
            raise ValueError(f"its byte order is {reprlib.repr(byte_order)}, expected little or big")
        self._byte_order = "<" if byte_order == b"little" else ">"
        self._folder = f"{top}data/"
        self._sizes = {
            name.removeprefix(self._folder): entry.file_size
            for name, entry in entries.items()
            if name.startswith(self._folder)
        }
        return run_pickle(io.BytesIO(self._zip.read(pickles[0])))

    def _open_legacy(self):
        head = LimitedReader(self._file, PICKLE_LIMIT)
        try:
            magic_number = run_pickle(head)
        except (ValueError, EOFError):
            magic_number = None
        if magic_number != MAGIC_NUMBER:
            raise ValueError("not a file of PyTorch: neither a zip nor its older magic number at the start")
        protocol = run_pickle(head)
        if protocol != PROTOCOL_VERSION:
            raise ValueError(f"its protocol is {reprlib.repr(protocol)}, expected {PROTOCOL_VERSION}")
        run_pickle(head)  # sizes of C types on the machine that wrote it: the numbers in the file don't depend on them
        storages = {}
        tensors = run_pickle(head, storages)
        keys = run_pickle(head)
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise ValueError("its list of storage keys is no list of strings")

        self._byte_order = "<"  # whatever the machine
        self._sizes, self._starts = {}, {}
        position = self._file.tell()
        for key in keys:
            if key not in storages or key in self._sizes:
                raise ValueError(f"its storage {reprlib.repr(key)} belongs to no tensor, or comes twice")
            self._file.seek(position)
            (elements,) = struct.unpack("<q", _read_exactly(self._file, 8))
            size = elements * _itemsize(storages[key])
            position += 8
            if elements < 0 or position + size > self._size:
                raise ValueError(f"cut off: its storage {reprlib.repr(key)} should reach byte {position + size}, "
                                 f"but the file has {self._size}")  # fmt: skip
            self._sizes[key], self._starts[key] = size, position
            position += size
        return tensors

    def _read_storage(self, key):
        if self._last_read[0] != key:
            self._last_read = (None, None)  # lets go of the old one before the new one takes memory
            if self._zip is not None:
                data = self._zip.read(self._folder + key)
            else:
                self._file.seek(self._starts[key])
                data = _read_exactly(self._file, self._sizes[key])
            self._last_read = (key, data)
        return self._last_read[1]

    def _checked(self, tensors):
        """The dictionary of tensors, once it is known that each lies inside its storage, and that inside the file."""
        if not isinstance(tensors, dict):
            raise ValueError(f"it holds {_kind(tensors)}, expected a dictionary of tensors")
        for name, view in tensors.items():
            if not isinstance(name, str) or not isinstance(view, TensorView):
                raise ValueError(f"its entry {reprlib.repr(name)} is {_kind(view)}, expected a tensor under a name")
            storage = view.storage
            if storage.key not in self._sizes:
                raise ValueError(f"its storage {reprlib.repr(storage.key)} is missing")
            size = self._sizes[storage.key]
            if storage.whole * _itemsize(storage) != size:
                raise ValueError(f"the storage of {name} has {size} bytes, expected {storage.whole} elements "
                                 f"of {_itemsize(storage)} bytes")  # fmt: skip
            elements = math.prod(view.shape)
            if elements:
                last = view.offset + sum((n - 1) * step for n, step in zip(view.shape, view.stride, strict=True))
                if last >= storage.elements:
                    raise ValueError(f"{name} reaches element {last} of a storage of {storage.elements}")
                if elements > max(storage.elements, REPEATED_LIMIT):
                    raise ValueError(f"{name} repeats the {storage.elements} elements of its storage {elements} times")
            elif view.offset > storage.elements:
                raise ValueError(f"{name} starts at element {view.offset} of a storage of {storage.elements}")
        return dict(tensors)


# The stack machine ----------------------------------------------------------------------------------------------


class LimitedReader:
    """A file from which at most `limit` bytes are read: a broken pickle can claim a string of any length."""

    def __init__(self, file, limit):
        self._file = file
        self._left = limit

    def read(self, size):
        return self._counted(size, self._file.read(min(size, self._left + 1)))

    def readline(self):
        return self._counted(0, self._file.readline(self._left + 1))

    def _counted(self, size, data):
        if max(size, len(data)) > self._left:
            raise ValueError(f"more than the {PICKLE_LIMIT} bytes allowed")
        self._left -= len(data)
        return data


def run_pickle(stream, storages=None):
    """Run the pickle at the place of `stream` and return what it builds, leaving the stream just after it.

    Numbers, strings, tuples, lists, dictionaries and the tensors of PyTorch can be built. Each storage met is entered
    in the dictionary `storages` under its key. Raises ValueError at the first instruction or name beyond these.
    """
    stack, marks, memo = [], [], {}
    if storages is None:
        storages = {}

    def pop(kind=object, what="value"):
        if not stack or (marks and len(stack) <= marks[-1]):
            raise ValueError("broken pickle: it takes from an empty stack")
        value = stack.pop()
        if not isinstance(value, kind):
            raise ValueError(f"broken pickle: expected a {what}, got {_kind(value)}")
        return value

    def top(kind, what):
        stack.append(pop(kind, what))
        return stack[-1]

    def pop_to_mark():
        if not marks:
            raise ValueError("broken pickle: it has no mark to go back to")
        place = marks.pop()
        values = stack[place:]
        del stack[place:]
        return values

    for opcode, argument, _ in _instructions(stream):
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                value = pop()
                if stack:
                    raise ValueError("broken pickle: it leaves values behind")
                return value
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(opcode.name == "NEWTRUE")
            case "INT" | "BININT" | "BININT1" | "BININT2" | "LONG" | "LONG1" | "LONG4" | "FLOAT" | "BINFLOAT":
                stack.append(argument)
            case ("UNICODE" | "BINUNICODE" | "SHORT_BINUNICODE" | "BINUNICODE8" | "STRING" | "BINSTRING"
                  | "SHORT_BINSTRING"):  # fmt: skip
                stack.append(argument)
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                values = [pop() for _ in range(int(opcode.name[-1]))]
                stack.append(tuple(reversed(values)))
            case "MARK":
                marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(pop_to_mark()))
            case "EMPTY_LIST":
                stack.append([])
            case "LIST":
                stack.append(pop_to_mark())
            case "APPEND":
                value = pop()
                top(list, "list").append(value)
            case "APPENDS":
                values = pop_to_mark()
                top(list, "list").extend(values)
            case "EMPTY_DICT":
                stack.append({})
            case "DICT":
                values = pop_to_mark()
                stack.append({})
                _set_items(stack[-1], values)
            case "SETITEM":
                value, key = pop(), pop()
                _set_items(top(dict, "dictionary"), [key, value])
            case "SETITEMS":
                values = pop_to_mark()
                _set_items(top(dict, "dictionary"), values)
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                memo[argument] = top(object, "value")
            case "MEMOIZE":
                memo[len(memo)] = top(object, "value")
            case "GET" | "BINGET" | "LONG_BINGET":
                if argument not in memo:
                    raise ValueError("broken pickle: it recalls a value it never kept")
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(_known(argument))
            case "STACK_GLOBAL":
                name, module = pop(str, "name"), pop(str, "name")
                stack.append(_known(f"{module} {name}"))
            case "REDUCE":
                arguments, function = pop(tuple, "tuple of arguments"), pop(Global, "name that can build")
                if function.name not in BUILDERS:
                    raise ValueError(f"broken pickle: {_dotted(function.name)} builds nothing")
                stack.append(BUILDERS[function.name](*_fitting(function.name, arguments)))
            case "BUILD":
                pop()  # attributes, such as the version numbers a state_dict carries; nothing here has any
                top(dict, "dictionary")
            case "BINPERSID":
                storage = _storage(pop(tuple, "description of a storage"))
                same = storages.setdefault(storage.key, storage)
                if (same.type, same.whole) != (storage.type, storage.whole):
                    raise ValueError(f"the storage {reprlib.repr(storage.key)} is described in two ways")
                stack.append(storage)
            case "INST":
                raise ValueError(f"it wants to call {_dotted(argument)}; only tensors are read from such a file")
            case _:
                raise ValueError(f"it uses the instruction {opcode.name}; only tensors are read from such a file")
    raise ValueError("cut off in the middle of its pickle")


def _set_items(target, values):
    """Enter key, value, key, value, ... in a dictionary."""
    if len(values) % 2:
        raise ValueError("broken pickle: a key without a value")
    for key, value in zip(values[::2], values[1::2], strict=True):
        if not isinstance(key, (str, int)):
            raise ValueError(f"a dictionary key is {_kind(key)}, expected a string or a whole number")
        target[key] = value


def _instructions(stream):
    try:
        yield from pickletools.genops(stream)
    except (UnicodeDecodeError, OverflowError, MemoryError, IndexError) as error:
        raise ValueError(f"broken pickle: {_one_line(error)}") from None
    except ValueError as error:
        raise ValueError(f"cut off or broken pickle: {_one_line(error)}") from None


def _known(name):
    """The marker for a global that is a storage type or a builder; any other is refused here, on being named."""
    if name not in STORAGE_TYPES and name not in BUILDERS:
        raise ValueError(f"it names {_dotted(name)}; only tensors are read from such a file")
    return Global(name)


def _storage(description):
    """('storage', type, key, device, elements), and in the older form (view key, first, elements) or None after it."""
    view = None
    if len(description) == 6:
        *description, view = description
    if len(description) != 5 or description[0] != "storage":
        raise ValueError("broken pickle: not the description of a storage")
    _, kind, key, _, whole = description
    if not isinstance(kind, Global) or kind.name not in STORAGE_TYPES:
        raise ValueError("broken pickle: a storage of no known type")
    if not isinstance(key, str) or not _is_count(whole):
        raise ValueError("broken pickle: a storage without key or length")
    first, elements = 0, whole
    if view is not None:
        if not isinstance(view, tuple) or len(view) != 3 or not _is_count(view[1]) or not _is_count(view[2]):
            raise ValueError("broken pickle: not the description of a part of a storage")
        _, first, elements = view
        if first + elements > whole:
            raise ValueError(f"a part of a storage reaches element {first + elements} of {whole}")
    return Storage(key, STORAGE_TYPES[kind.name], whole, first, elements)


def _tensor(storage, offset, shape, stride):
    if not isinstance(storage, Storage):
        raise ValueError("broken pickle: a tensor without a storage")
    for what, values in (("shape", shape), ("stride", stride), ("offset", (offset,))):
        if not isinstance(values, tuple) or not all(map(_is_count, values)):
            raise ValueError(f"the {what} of a tensor is {reprlib.repr(values)}, expected numbers of at least 0")
    if len(shape) != len(stride) or len(shape) > 32:
        raise ValueError(f"a tensor has {len(shape)} dimensions and {len(stride)} strides")
    return TensorView(storage, offset, shape, stride)


def _rebuild_tensor_v2(storage, offset, shape, stride, requires_grad, hooks, metadata=None):
    return _tensor(storage, offset, shape, stride)


def _rebuild_parameter(tensor, requires_grad, hooks):
    if not isinstance(tensor, TensorView):
        raise ValueError("broken pickle: a parameter without a tensor")
    return tensor


def _ordered_dict(pairs=()):
    """Python 3 starts it empty and enters the items later; Python 2 hands over a list of [key, value]."""
    if not isinstance(pairs, (list, tuple)) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise ValueError("broken pickle: an OrderedDict of something else than pairs")
    items = {}
    for pair in pairs:
        _set_items(items, pair)
    return items


def _size(values):
    if not isinstance(values, tuple):
        raise ValueError("broken pickle: a torch.Size that is no tuple")
    return values


# All that a pickle can have built: name -> (what builds it). Each takes and gives plain values of this module.
BUILDERS = {
    "collections OrderedDict": _ordered_dict,
    "torch._utils _rebuild_tensor": _tensor,
    "torch._utils _rebuild_tensor_v2": _rebuild_tensor_v2,
    "torch._utils _rebuild_parameter": _rebuild_parameter,
    "torch Size": _size,
}
ARGUMENT_COUNTS = {  # how many each may be given
    "collections OrderedDict": (0, 1),
    "torch._utils _rebuild_tensor": (4,),
    "torch._utils _rebuild_tensor_v2": (6, 7),
    "torch._utils _rebuild_parameter": (3,),
    "torch Size": (1,),
}


def _fitting(name, arguments):
    if len(arguments) not in ARGUMENT_COUNTS[name]:
        raise ValueError(f"broken pickle: {_dotted(name)} with {len(arguments)} arguments")
    return arguments


def _is_count(value):
    return type(value) is int and 0 <= value < 2**63


def _itemsize(storage):
    return 2 if storage.type == "bfloat16" else np.dtype(storage.type).itemsize


def _read_exactly(file, size):
    data = file.read(size)
    if len(data) != size:
        raise ValueError(f"cut off: {size} bytes expected, {len(data)} left")
    return data


def _dotted(name):
    return name.replace(" ", ".")


def _kind(value):
    return {TensorView: "a tensor", Storage: "a storage", Global: "a name", dict: "a dictionary"}.get(
        type(value), f"a value of type {type(value).__name__}"
    )


def _one_line(error):
    """What an error says, fit for one line: names and values in a hostile file can be long and hold anything."""
    text = " ".join(str(error).split()) or type(error).__name__
    return "".join(character if character.isprintable() else "?" for character in text[:300])
