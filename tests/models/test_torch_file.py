import argparse
import codecs
import functools
import io
import os
import pickle
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import make_torch_files
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pickles import code, legacy_file, name, pickled, reduce, state_dict_files, storage, tensor, zip_file

from bertnp.models.torch_file import TorchFile

REFERENCE = Path(__file__).parents[1] / "reference"
SIX = np.arange(6, dtype="<f4")
BOTH_FORMS = pytest.mark.parametrize("form", ["zip", "legacy"])


def write(folder, data):
    path = folder / "pytorch_model.bin"
    path.write_bytes(data)
    return path


def made(form, value, storages=None):
    """A hand-made file of either form; storages: {key: (element count, bytes)}."""
    storages = {"0": (6, SIX.tobytes())} if storages is None else storages
    if form == "legacy":
        return legacy_file(value, storages)
    return zip_file(value, {key: data for key, (_, data) in storages.items()})


def read(path):
    with TorchFile(path) as file:
        arrays = {tensor_name: file.read(tensor_name) for tensor_name in file.names}
        assert {tensor_name: file.shape(tensor_name) for tensor_name in file.names} == {
            tensor_name: array.shape for tensor_name, array in arrays.items()
        }
    return arrays


def refusal(path):
    """The message a file is refused with: one line that starts with the file."""
    with pytest.raises(ValueError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and len(message.splitlines()) == 1 and message.isprintable()
    return message.removeprefix(f"{path}: ")


def same(arrays, expected):
    assert list(arrays) == list(expected)
    for tensor_name, array in arrays.items():
        assert array.dtype == expected[tensor_name].dtype, tensor_name
        assert array.flags.c_contiguous and array.flags.writeable and array.dtype.isnative
        np.testing.assert_array_equal(array, expected[tensor_name], strict=True, err_msg=tensor_name)


# Files that are in order -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("file_name", ["torch_zip.bin", "torch_legacy.bin"])
def test_stored_files_of_pytorch(file_name):
    same(read(REFERENCE / file_name), make_torch_files.expected())


@pytest.mark.oracle
@pytest.mark.parametrize("zip_form", [True, False])
def test_files_pytorch_writes_now(zip_form, tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "pytorch_model.bin"
    torch.save(make_torch_files.tensors(), path, _use_new_zipfile_serialization=zip_form)
    same(read(path), make_torch_files.expected())


@pytest.mark.oracle
@pytest.mark.parametrize("zip_form", [True, False])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol(zip_form, protocol, tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "pytorch_model.bin"
    tensors = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.nn.Parameter(torch.ones(2))}
    torch.save(tensors, path, _use_new_zipfile_serialization=zip_form, pickle_protocol=protocol)
    same(read(path), {"weight": SIX.reshape(2, 3), "bias": np.ones(2, np.float32)})


@pytest.mark.oracle
@pytest.mark.parametrize("zip_form", [True, False])
def test_random_views_agree_with_pytorch(zip_form, tmp_path):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    flat = torch.arange(500).to(torch.float16)
    views = {}
    for i in range(40):
        shape = tuple(int(n) for n in rng.integers(1, 5, size=rng.integers(0, 4)))
        stride = tuple(int(n) for n in rng.integers(0, 40, size=len(shape)))
        views[f"view{i}"] = flat.as_strided(shape, stride, int(rng.integers(0, 100)))
    path = tmp_path / "pytorch_model.bin"
    torch.save(views, path, _use_new_zipfile_serialization=zip_form)
    same(read(path), {view_name: view.numpy() for view_name, view in views.items()})


@BOTH_FORMS
def test_hand_made_files(form, tmp_path):
    arrays = {"a": SIX.reshape(2, 3), "b": np.array([1, -(2**40)]), "c": np.array([True, False]), "d": np.float64(0.1)}
    path = write(tmp_path, state_dict_files(arrays)[form == "legacy"])
    same(read(path), arrays)


@BOTH_FORMS
def test_older_ways_to_say_the_same(form, tmp_path):
    """_rebuild_tensor without a version, torch.Size, an OrderedDict of pairs, 8-bit strings: PyTorch under Python 2."""
    size = reduce(name("torch", "Size"), (2, 3))
    plain = reduce(name("torch._utils", "_rebuild_tensor"), storage(), 0, size, (3, 1))
    hooks = reduce(name("collections", "OrderedDict"))
    parameter = reduce(name("torch._utils", "_rebuild_parameter"), plain, True, hooks)
    python2 = b"U\x01a"
    pairs = b"](](" + python2 + plain + b"e](" + code("b") + parameter + b"ee"
    path = write(tmp_path, made(form, b"\x80\x02ccollections\nOrderedDict\n(" + pairs + b"tR."))
    same(read(path), {"a": SIX.reshape(2, 3), "b": SIX.reshape(2, 3)})


def test_views_of_storages_in_the_older_form(tmp_path):
    part = tensor(shape=(2,), stride=(1,), offset=1, view=("7", 2, 3))
    path = write(tmp_path, legacy_file({"whole": tensor(), "part": part}, {"0": (6, SIX.tobytes())}))
    same(read(path), {"whole": SIX.reshape(2, 3), "part": SIX[3:5]})
    for view in [("7", 4, 3), ("7", -1, 2), ("7", 1), "7"]:
        path = write(tmp_path, legacy_file({"part": tensor(view=view)}, {"0": (6, SIX.tobytes())}))
        assert "part of a storage" in refusal(path)


def test_big_endian_zip(tmp_path):
    path = write(tmp_path, zip_file({"a": tensor()}, {"0": SIX.astype(">f4").tobytes()}, extra={"byteorder": "big"}))
    same(read(path), {"a": SIX.reshape(2, 3)})
    path = write(tmp_path, zip_file({"a": tensor()}, {"0": SIX.tobytes()}, extra={"byteorder": "mixed"}))
    assert "byte order" in refusal(path)


def test_the_file_can_be_replaced_after_closing(tmp_path):
    path = write(tmp_path, made("zip", {"a": tensor()}))
    with TorchFile(path) as file:
        array = file.read("a")
    os.replace(write(tmp_path / "..", b"new"), path)
    assert path.read_bytes() == b"new" and array[1, 2] == 5


# Anything but tensors --------------------------------------------------------------------------------------------


class Call:
    """An object whose pickle calls `function`."""

    def __init__(self, function, *arguments, state=None):
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.parts


class Plain:
    pass


CANARY = "touched_by_a_pickle"
# What to pickle, and what the refusal must say: the name as protocol 0 to 2 write it (as Python 2 knew it) or later.
HOSTILE = {
    "system": (lambda: Call(os.system, f"echo > {CANARY}"), "it names (posix|nt).system"),
    "eval": (lambda: Call(eval, f"open({CANARY!r}, 'w', encoding='utf-8')"), "it names (__builtin__|builtins).eval"),
    "exec": (lambda: Call(exec, f"open({CANARY!r}, 'w', encoding='utf-8')"), "it names (__builtin__|builtins).exec"),
    "open": (lambda: Call(open, CANARY, "w", -1, "utf-8"), "it names _?io.open"),
    "import": (lambda: Call(__import__, "os"), "it names (__builtin__|builtins).__import__"),
    "getattr": (lambda: Call(getattr, Call(__import__, "os"), "system"), "it names (__builtin__|builtins).getattr"),
    "popen": (lambda: Call(subprocess.Popen, ["touch", CANARY]), "it names (commands|subprocess).Popen"),
    "encode": (lambda: Call(codecs.encode, "x", "rot13"), "it names _codecs.encode"),
    "numpy array": (lambda: np.arange(3), "it names numpy[._a-z]*._reconstruct"),
    "numpy scalar": (lambda: np.float32(1), "it names numpy[._a-z]*.scalar"),
    "dtype": (lambda: np.dtype("f4"), "it names numpy.dtype"),
    "object": (Plain, "it names (copy_reg._reconstructor|test_torch_file.Plain)"),
    "namespace": (lambda: argparse.Namespace(a=1), "it names (copy_reg._reconstructor|argparse.Namespace)"),
    "partial": (lambda: functools.partial(os.system, f"echo > {CANARY}"), "it names functools.partial"),
    "set": (lambda: {1, 2}, "it names __builtin__.set|it uses the instruction EMPTY_SET"),
    "complex": (lambda: 1j, "it names (__builtin__|builtins).complex"),
    "class": (lambda: Plain, "it names test_torch_file.Plain"),
    "bytes": (lambda: b"abc", "it names _codecs.encode|it uses the instruction SHORT_BINBYTES"),
    "state": (
        lambda: Call(argparse.Namespace, state={"a": Call(os.system, f"echo > {CANARY}")}),
        "it names argparse.Namespace",
    ),
    "path": (lambda: Path("x"), "it names (pathlib[._a-z]*.[A-Za-z]*Path|copy_reg._reconstructor)"),
}


@pytest.fixture
def nothing_ran(tmp_path, monkeypatch):
    """A working folder in which no pickle has left its mark at the end."""
    folder = tmp_path / "working"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield
    assert list(folder.iterdir()) == []


def test_the_mark_is_left_where_pickles_do_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for case in ("system", "eval", "exec", "open", "partial"):
        run = pickle.loads(pickle.dumps(HOSTILE[case][0](), 2))
        if case == "partial":
            run()
        assert (tmp_path / CANARY).exists(), case
        run = None
        (tmp_path / CANARY).unlink()


@BOTH_FORMS
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("case", HOSTILE)
def test_other_objects_are_refused_by_name(case, nested, form, tmp_path, nothing_ran):
    make, expected = HOSTILE[case]
    for protocol in (0, 1, 2, 4):
        instructions = pickle.dumps(make(), protocol)
        if nested:  # as one value of a dictionary beside a tensor, without the instruction PROTO and FRAME at the start
            start = {0: 0, 1: 0, 2: 2, 4: 11 if instructions[2:3] == b"\x95" else 2}[protocol]
            body = instructions[start:-1]
            instructions = b"\x80\x04}(" + code("a") + tensor() + code("b") + b"](" + body + b"eu."
        assert re.match(expected, refusal(write(tmp_path, made(form, instructions))))


GADGETS = {
    "reconstructor": (
        reduce(name("copyreg", "_reconstructor"), name("os", "system"), name("builtins", "object"), None),
        "copyreg._reconstructor",
    ),
    "reduce a name from the stack": (b"X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x93", "os.system"),
    "deep attribute": (code("torch") + code("serialization.os.system") + b"\x93", "torch.serialization.os.system"),
    "attribute of a known module": (name("torch", "load"), "torch.load"),
    "hidden in a known module": (name("torch._utils", "os"), "torch._utils.os"),
    "hidden in collections": (name("collections", "_sys"), "collections._sys"),
    "rebuild from type": (name("torch._tensor", "_rebuild_from_type_v2"), "torch._tensor._rebuild_from_type_v2"),
    "package from storage": (name("torch.storage", "_load_from_bytes"), "torch.storage._load_from_bytes"),
    "instance": (b"(" + code("ls") + b"ios\nsystem\n", "os.system"),
    "object": (b"(" + name("os", "system") + code("ls") + b"o", "os.system"),
    "new object": (name("builtins", "object") + b")\x81", "builtins.object"),
    "new object of a known name": (name("collections", "OrderedDict") + b")\x81", "NEWOBJ"),
    "extension": (b"\x82\x01", "EXT1"),
    "persistent by name": (b"Pstorage\n", "PERSID"),
    "call of a storage type": (reduce(name("torch", "FloatStorage"), 10**12), "torch.FloatStorage"),
    "call of a tensor": (code(tensor()) + b")R", "expected a name that can build, got a tensor"),
    "call of a string": (code("os.system") + b")R", "expected a name that can build"),
    "attributes of a known name": (name("torch", "Size") + b"}" + b"b", "expected a dictionary"),
    "attributes of a tensor": (tensor() + b"}" + b"b", "expected a dictionary"),
    "dictionary of a dictionary": (b"}" + b"}" + b"N" + b"s", "dictionary key"),
    "unhashable key": (b"(]Nd", "dictionary key"),
    "key without value": (b"(Nd", "a key without a value"),
    "hooks that call": (
        reduce(name("torch._utils", "_rebuild_parameter"), tensor(), True, reduce(name("os", "system"), "ls")),
        "os.system",
    ),
    "state that calls": (
        reduce(name("collections", "OrderedDict")) + reduce(name("os", "system"), "ls") + b"b",
        "os.system",
    ),
    "storage of an unknown type": (code(storage(type=name("os", "system"))), "os.system"),
    "storage of a builder": (code(storage(type=name("torch", "Size"))), "a storage of no known type"),
    "storage of a string": (code(storage(type="FloatStorage")), "a storage of no known type"),
    "a module as storage": (code(storage(first="module")), "not the description of a storage"),
    "too many arguments": (reduce(name("torch", "Size"), (1,), (2,)), "torch.Size with 2 arguments"),
}


@BOTH_FORMS
@pytest.mark.parametrize("case", GADGETS)
def test_tricks_are_refused(case, form, tmp_path, nothing_ran):
    instructions, expected = GADGETS[case]
    value = b"\x80\x04}(" + code("a") + code(tensor()) + code("b") + bytes(instructions) + b"u."
    assert expected in refusal(write(tmp_path, made(form, value)))


@pytest.mark.parametrize("place", range(5))
def test_every_pickle_of_the_older_form_is_guarded(place, tmp_path, nothing_ran):
    parts = [legacy_file({}), pickled(1001), pickled({}), pickled({}), pickled([])]
    parts[0] = pickled(0x1950A86A20F9469CFC6C)
    parts[place] = pickle.dumps(Call(os.system, f"echo > {CANARY}"), 2)
    message = refusal(write(tmp_path, b"".join(parts)))
    assert "system" in message if place else "not a file of PyTorch" in message


@BOTH_FORMS
@pytest.mark.parametrize(
    "value, expected",
    [
        ([tensor()], "it holds a value of type list, expected a dictionary of tensors"),
        (tensor(), "it holds a tensor, expected a dictionary"),
        ({"a": tensor(), "epoch": 3}, "its entry 'epoch' is a value of type int, expected a tensor"),
        ({"model": {"a": tensor()}}, "its entry 'model' is a dictionary, expected a tensor"),
        ({"a": tensor(), "b": name("torch", "FloatStorage")}, "its entry 'b' is a name, expected a tensor"),
        ({"a": storage()}, "its entry 'a' is a storage, expected a tensor"),
        ({1: tensor()}, "its entry 1 is a tensor, expected a tensor under a name"),
        ({"a": tensor(), "b\n" * 10_000: None}, "expected a tensor"),
    ],
)
def test_only_a_dictionary_of_tensors(value, expected, form, tmp_path):
    assert expected in refusal(write(tmp_path, made(form, value)))


@pytest.mark.oracle
def test_other_things_pytorch_saves(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "pytorch_model.bin"
    for value, expected in [
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        ({"a": torch.ones(2), "lr": np.float64(0.1)}, "numpy"),
        ({"a": torch.ones(2), "device": torch.device("cpu")}, "torch.device"),
        ({"a": torch.ones(2), "dtype": torch.float16}, "torch.float16"),
        ({"a": torch.ones(2, dtype=torch.complex64)}, "torch.ComplexFloatStorage"),
        (argparse.Namespace(model=torch.ones(2)), "argparse.Namespace"),
    ]:
        for zip_form in (True, False):
            torch.save(value, path, _use_new_zipfile_serialization=zip_form)
            assert expected in refusal(path)


# Broken files ----------------------------------------------------------------------------------------------------


@BOTH_FORMS
@pytest.mark.parametrize(
    "bad, expected",
    [
        (tensor(offset=1), "a reaches element 6 of a storage of 6"),
        (tensor(stride=(3, 2)), "a reaches element 7 of a storage of 6"),
        (tensor(shape=(2**40, 2**40), stride=(3, 1)), "of a storage of 6"),
        (tensor(shape=(2**40, 2**40), stride=(0, 0)), "repeats the 6 elements of its storage"),
        (tensor(shape=(0, 3), offset=7), "starts at element 7 of a storage of 6"),
        (tensor(offset=-1), "the offset of a tensor is (-1,)"),
        (tensor(stride=(-3, 1), offset=3), "the stride of a tensor is (-3, 1)"),
        (tensor(shape=(-2, -3)), "the shape of a tensor is (-2, -3)"),
        (tensor(shape=(2.0, 3)), "the shape of a tensor is (2.0, 3)"),
        (tensor(shape=(True, 3)), "the shape of a tensor is (True, 3)"),
        (tensor(shape=(10**30, 3)), "the shape of a tensor"),
        (tensor(shape=(10**5000, 3)), "4300"),
        (tensor(shape=[2, 3]), "the shape of a tensor is [2, 3]"),
        (tensor(shape=(6,)), "a tensor has 1 dimensions and 2 strides"),
        (tensor(shape=(1,) * 40, stride=(1,) * 40), "a tensor has 40 dimensions"),
        (tensor(elements=-6), "a storage without key or length"),
        (tensor(key=0), "a storage without key or length"),
        (reduce(name("torch._utils", "_rebuild_tensor"), None, 0, (6,), (1,)), "a tensor without a storage"),
        (reduce(name("torch._utils", "_rebuild_parameter"), None, True, None), "a parameter without a tensor"),
        (reduce(name("torch", "Size"), [2, 3]), "a torch.Size that is no tuple"),
        (reduce(name("collections", "OrderedDict"), [(1, 2)]), "something else than pairs"),
    ],
)
def test_tensors_that_do_not_fit_their_storage(bad, expected, form, tmp_path):
    assert expected in refusal(write(tmp_path, made(form, {"a": bad})))


def test_strides_of_single_elements_do_not_matter(tmp_path):
    view = tensor(shape=(1, 6), stride=(2**62, 1))
    same(read(write(tmp_path, made("zip", {"a": view}))), {"a": SIX[None]})
    empty = tensor(shape=(0, 2**20), stride=(2**62, 2**62))
    assert read(write(tmp_path, made("zip", {"a": empty})))["a"].shape == (0, 2**20)
    too_large = tensor(shape=(0, 2**62, 2**62), stride=(1, 1, 1))
    assert "a? cannot be read" in refusal(write(tmp_path, made("zip", {"a\x1b": too_large})))


def test_storages_of_the_wrong_length(tmp_path):
    for data in (SIX[:5].tobytes(), SIX.tobytes() + b"x", b""):
        assert "6 elements of 4 bytes" in refusal(write(tmp_path, zip_file({"a": tensor()}, {"0": data})))
    assert "storage '1' is missing" in refusal(write(tmp_path, made("zip", {"a": tensor("1")})))
    both = {"a": tensor(), "b": tensor(kind="IntStorage")}
    for form in ("zip", "legacy"):
        assert "'0' is described in two ways" in refusal(write(tmp_path, made(form, both)))

    one = {"0": (6, SIX.tobytes())}
    assert "storage '0' is missing" in refusal(write(tmp_path, legacy_file({"a": tensor()}, one, keys=[])))
    for keys in (["0", "0"], ["0", "1"]):
        assert "belongs to no tensor, or comes twice" in refusal(
            write(tmp_path, legacy_file({"a": tensor()}, {"0": one["0"], "1": one["0"]}, keys=keys))
        )
    for keys in ({"0": 1}, [0], "0"):
        assert "list of storage keys" in refusal(write(tmp_path, legacy_file({"a": tensor()}, one, keys=keys)))
    for count in (-1, 5, 7, 2**62):
        message = refusal(write(tmp_path, legacy_file({"a": tensor()}, {"0": (count, SIX.tobytes())})))
        assert "cut off" in message or "6 elements of 4 bytes" in message


def test_files_of_another_kind(tmp_path):
    for data in (b"", b"PK", b"\x80", b"hello\n", b"\x00" * 100, pickled({"a": 1}), pickled("text")):
        assert "not a file of PyTorch" in refusal(write(tmp_path, data))
    assert "its protocol is 7, expected 1001" in refusal(write(tmp_path, legacy_file({}, protocol=7)))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme.txt", "hello")
    assert "no single <top>/data.pkl" in refusal(write(tmp_path, archive.getvalue()))
    with pytest.raises(FileNotFoundError, match="there is no file"):
        TorchFile(tmp_path / "nothing.bin")


@BOTH_FORMS
def test_cut_off_files(form, tmp_path):
    """Cut anywhere, a file is refused; none is read as if it were whole."""
    data = made(form, {"a": tensor(), "b": tensor(shape=(6,), stride=(1,))})
    for length in range(len(data)):
        with pytest.raises(ValueError):  # on opening, before anything is read from it
            TorchFile(write(tmp_path, data[:length]))
        assert refusal(tmp_path / "pytorch_model.bin")
    assert list(read(write(tmp_path, data))) == ["a", "b"]


def test_a_changed_storage_is_noticed_in_a_zip(tmp_path):
    data = bytearray(made("zip", {"a": tensor()}))
    data[data.index(SIX.tobytes()) + 5] ^= 1
    assert "a cannot be read: Bad CRC-32" in refusal(write(tmp_path, bytes(data)))


def test_compressed_entries_are_refused(tmp_path):
    zeros = {"0": bytes(4 * 10**6)}
    data = zip_file({"a": tensor(shape=(10**6,), stride=(1,), elements=10**6)}, zeros, compression=zipfile.ZIP_DEFLATED)
    assert len(data) < 10_000
    assert "is compressed" in refusal(write(tmp_path, data))
    data = zip_file({"a": tensor()}, {"0": SIX.tobytes()}, compression=zipfile.ZIP_BZIP2)
    assert "is compressed" in refusal(write(tmp_path, data))


def test_a_pickle_beyond_all_measure_is_refused(tmp_path):
    data = zip_file({"a": tensor(), "b" * 17 * 2**20: tensor()}, {"0": SIX.tobytes()})
    assert "its pickle has" in refusal(write(tmp_path, data))
    data = legacy_file({"a": tensor(), "b" * 17 * 2**20: tensor()}, {"0": (6, SIX.tobytes())})
    assert "more than the 16777216 bytes allowed" in refusal(write(tmp_path, data))
    data = legacy_file(b"\x80\x02" + b"0" * 17 * 2**20 + b"\n.", {"0": (6, SIX.tobytes())})
    assert "POP" in refusal(write(tmp_path, data))
    data = legacy_file(b"\x80\x02Vb" + b"0" * 17 * 2**20 + b"\n.", {"0": (6, SIX.tobytes())})
    assert "more than the 16777216 bytes allowed" in refusal(write(tmp_path, data))


def test_a_length_beyond_the_file_takes_no_memory(tmp_path):
    for instruction in (b"\x8d" + (2**62).to_bytes(8, "little"), b"X\xff\xff\xff\xff", b"\x8b\xff\xff\xff\x7f"):
        for form in ("zip", "legacy"):
            assert "broken pickle" in refusal(write(tmp_path, made(form, b"\x80\x04" + instruction)))


@pytest.mark.parametrize(
    "instructions, expected",
    [
        (b".", "takes from an empty stack"),
        (b"}}.", "leaves values behind"),
        (b"}(.", "takes from an empty stack"),
        (b"(0.", "POP"),
        (b"]0.", "POP"),
        (b"u.", "no mark to go back to"),
        (b"}(K\x01K\x02K\x03u.", "a key without a value"),
        (b"h\x05.", "recalls a value it never kept"),
        (b"q\x00.", "takes from an empty stack"),
        (b"Na.", "takes from an empty stack"),
        (b"NNa.", "expected a list"),
        (b"NNNs.", "expected a dictionary"),
        (b"NQ.", "expected a description of a storage"),
        (b"}", "broken pickle"),
        (b"\xff.", "broken pickle"),
        (b"Iseven\n.", "broken pickle"),
        (b"X\x02\x00\x00\x00\xff\xfe.", "broken pickle"),
        (b"I" + b"9" * 5000 + b"\n.", "broken pickle"),
        (b"\x93.", "takes from an empty stack"),
        (b"NN\x93.", "expected a name"),
    ],
)
def test_broken_pickles(instructions, expected, tmp_path):
    assert expected in refusal(write(tmp_path, made("zip", b"\x80\x04" + instructions)))


def test_deep_and_repeated_nesting_is_harmless(tmp_path):
    deep = b"\x80\x04}" + code("a") + b"]" * 200_000 + b"a" * 199_999 + b"s."
    assert "its entry 'a' is a value of type list" in refusal(write(tmp_path, made("zip", deep)))
    doubled = b"\x80\x02}" + code("a") + code("x" * 100) + b"q\x00" + b"h\x00\x86q\x00" * 200 + b"s."
    assert "its entry 'a' is a value of type tuple" in refusal(write(tmp_path, made("zip", doubled)))
    as_key = b"\x80\x02}" + code("x" * 100) + b"q\x00" + b"h\x00\x86q\x00" * 200 + b"Ns."
    assert "a dictionary key is" in refusal(write(tmp_path, made("zip", as_key)))
    within = b"\x80\x02}q\x07(" + code("a") + b"h\x07u."
    assert "its entry 'a' is a dictionary" in refusal(write(tmp_path, made("zip", within)))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255), form=st.sampled_from(["zip", "legacy"]))
def test_a_changed_byte_is_read_or_refused_but_never_more(place, value, form, tmp_path, nothing_ran):
    whole = made(form, {"a": tensor(), "b": tensor(shape=(6,), stride=(1,))})
    data = bytearray(whole)
    data[int(place * len(data))] = value
    try:
        arrays = read(write(tmp_path, bytes(data)))
    except ValueError as error:
        assert "pytorch_model.bin: " in str(error)
    else:
        assert all(isinstance(array, np.ndarray) and array.size <= 6 for array in arrays.values())


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(instructions=st.binary(max_size=60))
def test_random_instructions_are_refused(instructions, tmp_path, nothing_ran):
    try:
        assert read(write(tmp_path, made("zip", b"\x80\x04" + instructions))) == {}
    except ValueError as error:
        assert "pytorch_model.bin: " in str(error)


def test_reading_imports_nothing(tmp_path):
    """A file that names a module doesn't get it imported."""
    path = write(tmp_path, made("zip", {"a": name("antigravity", "fly")}))
    script = (
        "import sys; from bertnp.models.torch_file import TorchFile; before = set(sys.modules)\n"
        f"try: TorchFile({str(path)!r})\n"
        "except ValueError as error: print(error)\n"
        "print(sorted(name for name in set(sys.modules) - before if not name.startswith('encodings')))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, encoding="utf-8", check=True)
    lines = run.stdout.splitlines()
    assert "antigravity.fly" in lines[0] and lines[1] == "[]"


# Real files ------------------------------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize("model, count", [("bert_pretrained", 207), ("bert_ft", 199), ("bert_ft_10k_25s", 201)])
def test_published_files(model, count, checkpoint_dir):
    path = checkpoint_dir / "rxnfp/models/transformers" / model / "pytorch_model.bin"
    arrays = read(path)
    assert len(arrays) == count
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in arrays.values())
    prefix = "" if model == "bert_ft" else "bert."
    assert arrays[f"{prefix}embeddings.word_embeddings.weight"].shape == (591, 256)


@pytest.mark.data
@pytest.mark.oracle
@pytest.mark.parametrize("model", ["bert_pretrained", "bert_ft", "bert_ft_10k_25s"])
def test_published_files_agree_with_pytorch(model, checkpoint_dir):
    torch = pytest.importorskip("torch")
    path = checkpoint_dir / "rxnfp/models/transformers" / model / "pytorch_model.bin"
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    same(read(path), {tensor_name: value.numpy() for tensor_name, value in theirs.items()})


@pytest.mark.data
def test_published_training_arguments_are_refused(checkpoint_dir):
    folder = checkpoint_dir / "rxnfp/models/transformers/bert_ft_10k_25s"
    assert "argparse.Namespace" in refusal(folder / "training_args.bin")
    assert "its entry 'last_epoch' is a value of type int" in refusal(folder / "scheduler.pt")
