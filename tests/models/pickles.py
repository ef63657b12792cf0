"""Files in both forms of PyTorch, written by hand: good ones without PyTorch, and hostile ones it never writes."""

import io
import pickle
import struct
import zipfile

import numpy as np

MAGIC_NUMBER, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
STORAGES = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "i8": "LongStorage", "i4": "IntStorage",
            "i2": "ShortStorage", "i1": "CharStorage", "u1": "ByteStorage", "b1": "BoolStorage"}  # fmt: skip


class Code(bytes):
    """Instructions of a pickle, put in as they are."""


def whole_pickle(value):
    """Bytes are a pickle already; anything else becomes one."""
    return value if type(value) is bytes else pickled(value)


def name(module, attribute):
    return Code(f"c{module}\n{attribute}\n".encode())


def reduce(function, *arguments):
    """The instructions that would call `function`."""
    return Code(function + code(arguments) + b"R")


def code(value):
    """The instructions that build a value; `Code` inside it stays as it is."""
    if isinstance(value, Code):
        return bytes(value)
    if isinstance(value, tuple):
        return b"(" + b"".join(map(code, value)) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(map(code, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(code(part) for item in value.items() for part in item) + b"u"
    return pickle.dumps(value, 2)[2:-1]


def pickled(value):
    return b"\x80\x02" + code(value) + b"."


def storage(key="0", kind="FloatStorage", elements=6, **changes):
    view = () if "view" not in changes else (changes["view"],)
    first = changes.get("first", "storage")
    return Code(code((first, changes.get("type", name("torch", kind)), key, "cpu", elements, *view)) + b"Q")


def tensor(key="0", shape=(2, 3), stride=(3, 1), offset=0, kind="FloatStorage", elements=6, **changes):
    where = storage(key, kind, elements, **changes)
    return reduce(name("torch._utils", "_rebuild_tensor_v2"), where, offset, shape, stride, False, {})


def zip_file(value, storages=None, top="archive", extra=None, **options):
    """The bytes of a zip whose pickle builds `value`; storages: {key: bytes}."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        archive.writestr(f"{top}/data.pkl", whole_pickle(value))
        for entry, data in (extra or {}).items():
            archive.writestr(f"{top}/{entry}", data)
        for key, data in (storages or {}).items():
            archive.writestr(f"{top}/data/{key}", data)
    return file.getvalue()


def legacy_file(value, storages=None, magic_number=MAGIC_NUMBER, protocol=PROTOCOL, keys=None):
    """The bytes of the older form; storages: {key: (element count, bytes)}."""
    storages = storages or {}
    facts = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    head = [magic_number, protocol, facts]
    parts = [pickled(part) for part in head]
    parts.append(whole_pickle(value))
    parts.append(pickled(list(storages) if keys is None else keys))
    for count, data in storages.values():
        parts.append(struct.pack("<q", count) + data)
    return b"".join(parts)


def state_dict_files(arrays):
    """Both forms of a file with the tensors {name: array}, each in a storage of its own."""
    tensors, raw = {}, {}
    for key, (tensor_name, array) in enumerate(arrays.items()):
        array = np.asarray(array)
        kind = STORAGES[array.dtype.str[1:]]
        stride = tuple(step // array.itemsize for step in np.asarray(array, order="C").strides)
        tensors[tensor_name] = tensor(str(key), array.shape, stride, 0, kind, array.size)
        raw[str(key)] = (array.size, array.astype(array.dtype.newbyteorder("<")).tobytes())
    return zip_file(tensors, {key: data for key, (_, data) in raw.items()}), legacy_file(tensors, raw)
