"""Stubs, students' files, and what a check says of functions that are wrong, unwritten or taken from elsewhere."""

import inspect
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import bertnp.functional as F
from bertnp.backend import FORMULAS
from bertnp.gradcheck import check_formula
from bertnp.learn.checking import check
from bertnp.learn.exercises import Exercise, Verdict, exercise_of, registry
from bertnp.learn.guarding import Watch
from bertnp.learn.loading import BrokenFile, load
from bertnp.learn.plugging import own_functions, plugged
from bertnp.learn.stubbing import reset, start, stub, stub_file, textbook_of
from bertnp.optim import schedules

ROOT = Path(__file__).parents[2]
HEAD = "import numpy as np\nimport bertnp.functional as F\n"
SOFTMAX = f"""{HEAD}
def softmax(x):
    exps = np.exp(x - x.max(axis=-1, keepdims=True))
    return exps / exps.sum(axis=-1, keepdims=True)

def softmax_backward(dy, y):
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))
"""


def verdict_of(report):
    return Verdict(report.ok, float(report.ok), report.text, report.sentence or "", report.mistake or "")


def exercise(*functions, judge=None, **more):
    """An exercise made for a test."""
    name = functions[0].removesuffix("_backward")
    forward, backward = (n if n in functions else None for n in (name, f"{name}_backward"))

    def judged(mine, seed):
        return verdict_of(check_formula(name, mine.get(forward), mine.get(backward), seed=seed))

    sources = {n: getattr(F, n) for n in functions} | more.pop("source", {})
    return Exercise("5.9", "a trial", "Write it.", functions, sources, judge or judged, ("a", "b", "c"), **more)


@pytest.fixture
def written(tmp_path):
    """Writes a student's file: its path."""

    def write(text, name="ch05.py"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture
def verdict(written):
    """The verdict of a file's text for an exercise of these functions."""
    return lambda text, *functions, **more: check(exercise(*functions, **more), load(written(text)))


# the registry


def test_the_registry_is_in_order_and_every_exercise_is_whole():
    exercises = list(registry().values())
    assert [e.place for e in exercises] == sorted(e.place for e in exercises)
    for e in exercises:
        assert registry()[e.number] is e and e.chapter == e.place[0]
        assert len(e.hints) == 3 and all(e.hints) and e.points > 0 and e.title and e.task
        assert set(e.source) == set(e.functions) and set(e.needs) <= set(registry())
        assert all(exercise_of(name) is e for name in e.functions)
    assert exercise_of("no_such_function") is None


def test_what_stands_in_the_registry_twice_is_refused(monkeypatch):
    import bertnp.learn.registry.scores as module

    first = module.EXERCISES[0]
    again = Exercise("99.1", "again", "", first.functions, first.source, first.judge, first.hints)
    for more, words in ((first, f"two exercises {first.number}"), (again, "both ask for")):
        monkeypatch.setattr(module, "EXERCISES", [*module.EXERCISES, more])
        with pytest.raises(ValueError, match=words):
            registry.__wrapped__()
        monkeypatch.undo()


# stubs


@pytest.mark.parametrize("number", registry())
def test_stubs_say_all_but_the_answer(number):
    text = stub(registry()[number])
    for name, source in registry()[number].source.items():
        source = textbook_of(source)
        assert f"def {name}(" in text
        for line in (inspect.getdoc(source) or "").splitlines():
            assert line.strip() in text
    assert text.count("raise NotImplementedError") == len(registry()[number].functions)


@pytest.mark.parametrize("chapter", sorted({e.chapter for e in registry().values()}))
def test_stub_files_run_and_fail_every_check(written, chapter):
    functions = load(written(stub_file(chapter)))
    for e in registry().values():
        if e.chapter == chapter:
            found = check(e, functions)
            assert not found.ok and found.mistake == "unwritten" and "is not written yet" in found.sentence, found.text
            for name, source in e.source.items():
                assert inspect.signature(functions[name]) == inspect.signature(textbook_of(source))


def test_a_stub_of_another_name_and_of_a_method(written):
    class Thing:
        def method(self, x=np.pi):
            """y = x"""
            return x

    e = Exercise("5.9", "a trial", "Write it.", ("mine",), {"mine": Thing.method}, None, ("a", "b", "c"), 2)
    text = stub(e)
    assert text.startswith("# 5.9  a trial (2 points)\n# Write it.\n\n\ndef mine(self, x=np.pi):\n")
    assert "return x" not in text and '"""y = x"""' in text
    assert list(load(written(HEAD + text))) == ["mine"]


# files


def test_only_functions_written_in_the_file_count(written):
    text = "from bertnp.functional import softmax\nfrom textwrap import dedent\nimport functools\nlen = len\n"
    text += "def mine(x): return x\nother = lambda x: x\nhalf = functools.partial(mine, 1)\nclass A: pass\n"
    assert sorted(load(written(text))) == ["mine", "other"]


def test_a_file_may_import_what_stands_beside_it_and_is_run_under_a_name_of_its_own(written):
    written("def helper(): return 3\n", "beside.py")
    path = written("import beside\ndef mine(): return beside.helper()\nif __name__ == '__main__': 1 / 0\n")
    before = list(sys.path)
    one, other = load(path)["mine"], load(path)["mine"]
    assert one() == 3 and one.__module__ != other.__module__ and sys.path == before
    sys.modules.pop("beside")


@pytest.mark.parametrize("text, words, mistake", [
    ("def f(x:\n    pass", r"ch05.py:1: '\(' was never closed", "syntax error"),
    ("x = 1\nreturn x", "ch05.py:2: 'return' outside function", "syntax error"),
    ("x = 1\0", "null", "syntax error"),
    ("x = 1\n1 / 0", "ch05.py:2: it raises ZeroDivisionError: division by zero", "ZeroDivisionError"),
    ("import no_such_module", "ch05.py:1: it raises ModuleNotFoundError", "ModuleNotFoundError"),
    ("import sys\nsys.exit(0)", "ch05.py:2: it ends the program", "exits"),
    ("# \xe9\nx = 'é'".encode("latin-1"), "ch05.py:1: this is no UTF-8", "encoding"),
    ("x = 1\ny = 'é'".encode("latin-1"), "ch05.py:2: this is no UTF-8", "encoding"),
    ("# coding: nonsense\n", "no UTF-8", "encoding"),
    ("x = 'é'".encode("utf-16"), "saved as UTF-16", "encoding"),
    ("x = 1\nimport torch", "ch05.py:2: it imports torch", "foreign library"),
    ("def f():\n    from jax import grad", "ch05.py:2: it imports jax", "foreign library"),
    ("import ctypes", "ch05.py:1: it imports ctypes", "foreign library"),
    ("import subprocess as s", "ch05.py:1: it imports subprocess", "foreign library"),
    ("x = __import__('tor' + 'ch')", "ch05.py:1: It imports torch", "foreign library"),
    ("import os\nos.system('exit 0')", r"ch05.py:2: It starts another program \(os.system\)", "leaves its process"),
])  # fmt: skip
def test_a_broken_file_is_told_of_with_its_line(written, text, words, mistake):
    with pytest.raises(BrokenFile, match=words) as caught:
        load(written(text))
    assert caught.value.mistake == mistake


def test_files_in_declared_encodings_and_with_marks_of_order(written):
    assert "mine" in load(written("# coding: latin-1\ndef mine(): return 'é'\n".encode("latin-1")))
    assert "mine" in load(written(b"\xef\xbb\xbfdef mine(): pass\r\n"))


def test_no_file(tmp_path):
    for path, words in ((tmp_path / "ch01.py", "no such file"), (tmp_path, "it is a folder")):
        with pytest.raises(BrokenFile, match=words):
            load(path)


# what a check says


def test_right_functions_pass(verdict):
    for functions in (["softmax"], ["softmax_backward"], ["softmax", "softmax_backward"]):
        found = verdict(SOFTMAX, *functions)
        assert found.ok and found.score == 1 and not found.sentence and not found.mistake
        for name in functions:
            assert f"ch05.py:{4 if name == 'softmax' else 8} {name}\n" in found.text and "tested: " in found.text


def test_a_planted_mistake_is_named_above_the_table(verdict):
    found = verdict(HEAD + "def softmax_backward(dy, y):\n    return y * dy\n", "softmax_backward")
    assert not found.ok and found.mistake == "only y dy" and "share a denominator" in found.sentence
    assert "tested: " in found.text and "gradient      shape" in found.text and "WRONG" in found.text
    assert found.text.index("ch05.py:3 softmax_backward") < found.text.index("WRONG")


@pytest.mark.parametrize("body, sentence, mistake", [
    ("np.exp(x)", "softmax returns None: is its return missing?", "returns None"),
    ("return x[100]", "IndexError: index 100 is out of bounds", "raises IndexError"),
    ("return undefined", "NameError: name 'undefined' is not defined", "raises NameError"),
    ("return softmax(x)", "RecursionError", "raises RecursionError"),
    ("raise NotImplementedError", "softmax is not written yet", "unwritten"),
    ("raise SystemExit", "softmax ends the program", "exits"),
    ("return 'a text'", "", None),
    ("return object()", "", None),
    ("x -= 1; return x", "", None),
])  # fmt: skip
def test_other_failures(verdict, body, sentence, mistake):
    found = verdict(f"{HEAD}def softmax(x):\n    {body}\n", "softmax")
    assert not found.ok and sentence in found.sentence and found.sentence, found.text
    assert mistake is None or found.mistake == mistake
    if mistake and mistake.startswith("raises"):
        assert f"ch05.py:4: {body}" in found.text or "ch05.py:3: def" in found.text  # of a recursion


def test_an_exception_that_ends_the_judge(verdict):
    judge = lambda mine, seed: Verdict(mine["softmax"](np.ones(3)) > 0, 1.0, "")  # noqa: E731
    raises = verdict(HEAD + "def softmax(x):\n    raise OSError('no')\n", "softmax", judge=judge)
    assert raises.sentence == "softmax raises OSError: no." and "ch05.py:4: raise OSError" in raises.text
    unusable = verdict(HEAD + "def softmax(x):\n    return {}\n", "softmax", judge=judge)
    assert unusable.sentence.startswith("What softmax returned could not be judged: TypeError")


@pytest.mark.parametrize("parameters, fits", [
    ("x", True), ("x, more=1", True), ("x, *rest", True), ("x, **rest", True), ("y", False), ("x, more", False),
    ("", False), ("*x", False), ("more, x", False),
])  # fmt: skip
def test_parameters_are_the_stubs(verdict, parameters, fits):
    text = f"{HEAD}def softmax({parameters}):\n    return F.log_softmax(x) * 0 + np.exp(F.log_softmax(x))\n"
    found = verdict(text, "softmax")
    assert (found.mistake != "parameters") is fits
    assert fits or "expected (x): keep the stub's first line" in found.sentence


def test_defaults_are_the_stubs(verdict):
    text = "def layer_norm(x, weight, bias, eps):\n    return x\n"
    assert verdict(text, "layer_norm").mistake == "parameters"


def test_a_missing_function(verdict):
    found = verdict("from bertnp.functional import softmax\n", "softmax")
    assert not found.ok and found.mistake == "missing" and "There is no function softmax" in found.sentence


# guards


@pytest.mark.parametrize("call", [
    "F.softmax(x)", "F.softmax.textbook(x)", "F.softmax.formula(x)", "F.softmax.body(x)", "F.masked_softmax(x)",
    "F.attention(x, x, x)[1]", "(lambda g: g(x))(F.softmax)", "bertnp.backend.FORMULAS['soft' + 'max'](x)",
])  # fmt: skip
def test_calling_the_function_under_test_is_refused_at_any_depth(verdict, call):
    found = verdict(f"{HEAD}import bertnp\ndef softmax(x):\n    return {call}\n", "softmax")
    assert not found.ok and found.mistake == "calls the library", found.text
    assert found.sentence == "You called softmax of the library, which is the function you are to write."
    assert f"ch05.py:5: return {call}" in found.text


@pytest.mark.parametrize("call", [
    "F.gelu(x)", "F.gelu.kernels['numpy'][0](x)",
    "F.gelu_feed_forward(x, np.eye(len(x.T)), np.zeros(len(x.T)), np.eye(len(x.T)))[1]",
])  # fmt: skip
def test_calling_its_kernel_is_refused(verdict, call):
    assert "numpy" in FORMULAS["gelu"].kernels
    found = verdict(f"{HEAD}def gelu(x):\n    return {call}\n", "gelu")
    assert found.mistake == "calls the library", found.text


def test_calling_what_has_a_kernel_of_the_whole_is_refused(verdict):
    assert "numpy" in FORMULAS["residual_norm"].kernels
    call = "F.residual_norm(x, 0 * bias, 0 * x, weight, bias, None, 0.0, eps)"
    found = verdict(f"{HEAD}def layer_norm(x, weight, bias, eps=1e-12):\n    return {call}\n", "layer_norm")
    assert found.mistake == "calls the library", found.text


def test_a_refusal_is_held_up_by_no_except(verdict):
    text = SOFTMAX.replace("    exps = ", "    try: F.softmax(x)\n    except BaseException: pass\n    exps = ")
    assert verdict(text, "softmax").mistake == "calls the library"
    text = SOFTMAX.replace("    exps = ", "    try: __import__('jax')\n    except BaseException: pass\n    exps = ")
    assert verdict(text, "softmax").mistake == "foreign library"


def test_other_functions_of_the_library_may_be_called(verdict):
    text = SOFTMAX.replace("(dy * y)", "(dy * F.softmax(np.log(y + 1e-300)))")
    assert "F.softmax(" in text and verdict(text, "softmax_backward").ok


def test_a_plain_function_of_the_library_is_watched_as_well(written):
    judge = lambda mine, seed: Verdict(mine["linear"](1, 9, 3) == schedules.linear(1, 9, 3), 1.0, "")  # noqa: E731
    e = Exercise("5.9", "a trial", "", ("linear",), {"linear": schedules.linear}, judge, ("a", "b", "c"))
    head = "from bertnp.optim import schedules\ndef linear(step, total, warmup=0):\n    return "
    assert check(e, load(written(head + "schedules.linear(step, total, warmup)\n"))).mistake == "calls the library"
    own = "min(step / warmup, (total - step) / (total - warmup))\n"
    assert check(e, load(written(head + own))).ok


@pytest.mark.parametrize("code, mistake", [
    ("__import__('torch')", "foreign library"),
    ("import importlib; importlib.import_module('auto' + 'grad')", "foreign library"),
    ("import os; os.system('exit 0')", "leaves its process"),
    ("import os; os.popen('exit 0')", "leaves its process"),
    ("import sys; sys.setprofile(None)", "switches the check off"),
    ("import sys; sys.settrace(None)", "switches the check off"),
    ("import inspect; inspect.getsource(F.softmax.textbook)", "reads the answer"),
    ("import linecache; linecache.getlines(F.softmax.textbook.__code__.co_filename)", "reads the answer"),
    ("open(F.softmax.textbook.__code__.co_filename).read()", "reads the answer"),
    ("import pathlib; pathlib.Path(F.gelu.textbook.__code__.co_filename).read_text()", "reads the answer"),
    ("from bertnp.learn.showing import source; source(F.softmax)", "reads the answer"),
    (f"open({str(ROOT / 'chapters' / 'bert_in_one_file.py')!r}).read()", "reads the answer"),
    (f"import sys; sys.path[:0] = [{str(ROOT / 'chapters')!r}]; import bert_in_one_file", "reads the answer"),
    (f"import sys; sys.path[:0] = [{str(ROOT / 'tests')!r}]; import fetch_checkpoints", "reads the answer"),
])  # fmt: skip
def test_shortcuts_are_noticed_while_a_function_runs_and_while_the_file_is_read(
    verdict, written, monkeypatch, code, mistake
):
    monkeypatch.setattr(sys, "path", list(sys.path))
    found = verdict(SOFTMAX.replace("    exps = ", f"    {code}\n    exps = "), "softmax")
    assert not found.ok and found.mistake == mistake, found.text
    assert "ch05.py:5: " in found.text
    with pytest.raises(BrokenFile) as caught:
        load(written(f"{HEAD}\n{code}\n"))
    if mistake != "switches the check off" or "settrace" in code:
        assert caught.value.mistake == mistake and caught.value.line == 4


@pytest.mark.parametrize("code", ["__import__('torch')", "import importlib; importlib.import_module('torch.nn')"])
def test_a_foreign_library_that_is_loaded_already_is_noticed_as_well(verdict, written, monkeypatch, code):
    loaded = {name: ModuleType(name) for name in ("torch", "torch.nn")}
    for name, module in loaded.items():
        monkeypatch.setitem(sys.modules, name, module)
    assert verdict(SOFTMAX.replace("    exps = ", f"    {code}\n    exps = "), "softmax").mistake == "foreign library"
    with pytest.raises(BrokenFile, match="It imports torch"):
        load(written(f"{HEAD}\n{code}\n"))
    assert all(sys.modules[name] is module for name, module in loaded.items())


def test_reading_by_rights_is_none(verdict):
    """Warnings and tracebacks show lines of the library, imports read its files, a student may read their own."""
    lines = [
        "import pathlib, traceback, warnings",
        "warnings.formatwarning('so', UserWarning, F.softmax.textbook.__code__.co_filename, 20)",
        "pathlib.Path(__file__).read_text(encoding='utf-8')",
        "try: F.softmax_backward(1, 2, 3)",
        "except TypeError: traceback.format_exc()",
        "import bertnp.gradcheck.heatmap",
    ]
    found = verdict(
        SOFTMAX.replace("    exps = ", "".join(f"    {line}\n" for line in lines) + "    exps = "), "softmax"
    )
    assert found.ok, found.text


def test_nothing_is_watched_afterwards(verdict, written):
    before = sys.getprofile()
    assert not verdict(HEAD + "def softmax(x):\n    return F.softmax(x)\n", "softmax").ok
    assert sys.getprofile() is before
    inspect.getsource(F.softmax.textbook)
    np.testing.assert_allclose(F.softmax(np.zeros(2)), 0.5)
    assert F.softmax.body is F.softmax.textbook and F.gelu.kernel_for.__self__ is F.gelu
    with Watch("a file"), Watch("another file"):
        pass
    inspect.getsource(F.gelu.textbook)


# plugging in


def test_plugged_functions_run_in_place_of_the_librarys(written):
    text = SOFTMAX.replace("def softmax(x):\n", "calls = []\ndef softmax(x):\n    calls.append(x.shape)\n")
    mine = load(written(text))
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 7)).astype(np.float32)
    expected = F.attention(x, x, x)[0]
    calls = mine["softmax"].__globals__["calls"]
    with plugged(mine) as names:
        assert names == ["softmax", "softmax_backward"]
        np.testing.assert_allclose(F.attention(x, x, x)[0], expected, rtol=1e-5)
        assert calls == [(2, 3, 5, 5)]
    F.attention(x, x, x)
    assert len(calls) == 1 and F.softmax.body is F.softmax.textbook


def test_plain_functions_and_methods_are_replaced_wherever_they_are_held(monkeypatch):
    import bertnp.cli.tour
    import bertnp.data
    import bertnp.data.encoded
    from bertnp.learn import plugging
    from bertnp.tokenization.wordpiece import WordPiece

    cut = WordPiece.cut
    sources = {"encode_texts": bertnp.data.encode_texts, "cut": cut}
    monkeypatch.setattr(plugging, "replaceable", lambda: sources)
    own = {"encode_texts": lambda: 1, "cut": lambda self, word: [word], "unknown": lambda: 3}
    with pytest.raises(InterruptedError), plugged(own):
        assert bertnp.cli.tour.encode_texts() == bertnp.data.encode_texts() == bertnp.data.encoded.encode_texts() == 1
        assert WordPiece({"a": 0, "##b": 1, "[UNK]": 2}).cut("ab") == ["ab"]
        raise InterruptedError  # the library's are back whatever happens
    assert bertnp.cli.tour.encode_texts is bertnp.data.encoded.encode_texts is sources["encode_texts"]
    assert WordPiece.cut is cut


def test_a_judge_may_plug_in_while_the_formula_is_watched(verdict):
    def judge(mine, seed):
        x = np.arange(3.0)
        with plugged(mine):
            mine_too = F.softmax(x)
        return Verdict(bool(np.allclose(mine_too, F.softmax(x)) and F.softmax.body is not mine["softmax"]), 1.0, "")

    assert verdict(SOFTMAX, "softmax", judge=judge).ok


def test_functions_of_several_files(written, tmp_path):
    name, other = "softmax", "softmax_backward"
    chapter = exercise_of(name).chapter
    own = written(SOFTMAX, f"ch{chapter:02}.py")
    written(SOFTMAX.replace("return exps", "return 2 * exps"), f"ch{chapter + 1:02}.py")
    written("this is not read", "notes.py")
    functions, unwritten = own_functions([tmp_path])
    assert set(functions) == {name, other} and functions[name].__code__.co_filename == str(own.resolve())
    assert unwritten == []
    one, two = written(SOFTMAX, "a.py"), written(SOFTMAX, "b.py")
    with pytest.raises(ValueError, match="softmax is written in .*a.py and in .*b.py"):
        own_functions([one, two])
    assert set(own_functions([one])[0]) == {name, other}
    stub_of_all = written(stub_file(chapter), "stubs.py")
    functions, unwritten = own_functions([stub_of_all])
    assert not functions and {name, other} <= set(unwritten)
    raises = f'    raise NotImplementedError("{exercise_of(name).number}'
    left = stub_file(chapter).replace(raises, f"    return x\n{raises}")
    assert name in own_functions([written(left, "stubs.py")])[0]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no file of a chapter"):
        own_functions([tmp_path / "empty"])


# a student's file grows and is reset


def test_start_adds_what_is_missing_and_touches_nothing_else(tmp_path):
    exercises = [e for e in registry().values() if e.chapter == exercise_of("softmax").chapter]
    path = tmp_path / "mine.py"
    path.write_text("import numpy as np\n\n\ndef softmax(x):\n    return x  # mine\n\n\nnote = 1", encoding="utf-8")
    before = path.read_text(encoding="utf-8")
    added = start(path, exercises)
    text = path.read_text(encoding="utf-8")
    assert text.startswith(before + "\n\n\n") and "softmax" not in added and "softmax_backward" in added
    assert text.count("def softmax(") == 1 and set(load(path)) >= {name for e in exercises for name in e.functions}
    assert start(path, exercises) == [] and path.read_text(encoding="utf-8") == text
    path.write_text("def broken(:", encoding="utf-8")
    with pytest.raises(BrokenFile, match="mine.py:1"):
        start(path, exercises)
    assert path.read_text(encoding="utf-8") == "def broken(:"


def test_reset_keeps_a_copy_and_all_that_is_not_asked_for(tmp_path):
    path, before = tmp_path / "ch05.py", SOFTMAX + "\n\nnote = 1\n"
    path.write_text(before, encoding="utf-8")
    backward = exercise_of("softmax_backward")
    copy = reset(path, [backward])
    assert copy.read_text(encoding="utf-8") == before and copy.name == "ch05.py.1.bak"
    text = path.read_text(encoding="utf-8")
    assert "exps / exps.sum" in text and "dy * y" not in text and "note = 1" in text
    assert check(backward, load(path)).mistake == "unwritten"
    assert reset(path, [backward]).name == "ch05.py.2.bak"
    path.write_text("def broken(:", encoding="utf-8")
    with pytest.raises(BrokenFile):
        reset(path, [backward])
    everything = [e for e in registry().values() if e.chapter == backward.chapter]
    if len(everything) > 1:
        reset(path, everything)  # a whole chapter, broken as its file may be
        assert path.read_text(encoding="utf-8") == stub_file(backward.chapter)
