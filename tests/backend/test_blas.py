"""The choice of OpenBLAS's kernels, each in a process of its own, since it is made while NumPy loads."""

import os
import subprocess
import sys

import pytest

from bertnp import blas

able = pytest.mark.skipif(
    sys.platform != "linux" or not blas.FLAGS <= blas.processor_flags() or blas.library_file() is None,
    reason="needs Linux, a processor with AVX-512 and NumPy's own OpenBLAS",
)


def python(code, **environment):
    """What a program prints, and its warnings, without this process's own settings."""
    own = (blas.VARIABLE, blas.TIMEOUT, "BERTNP_BLAS")
    clean = {name: value for name, value in os.environ.items() if name not in own}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**clean, **environment}, capture_output=True, text=True, encoding="utf-8",
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


LOOK = "import bertnp.backend; from bertnp import blas; print(blas.kernels())"
# NumPy loads with AVX2 kernels, as on a processor that OpenBLAS doesn't know; the setting is then forgotten.
FALLEN_BACK = "import os, numpy; os.environ.pop('OPENBLAS_CORETYPE'); "


@able
def test_before_numpy_is_loaded_the_better_kernels_are_chosen():
    assert python("import bertnp, os; print(os.environ['OPENBLAS_CORETYPE'])")[0] == "SkylakeX"
    assert python(LOOK) == ("SkylakeX", "")


@able
def test_after_numpy_was_loaded_the_kernels_are_changed_and_products_stay_right():
    code = FALLEN_BACK + (
        "a = numpy.random.default_rng(0).standard_normal((300, 200)); before = a @ a.T; "
        "from bertnp import blas; p = blas.timed_product()[1]; "  # not every processor is faster with them
        "count = blas.Library.find().function('openblas_get_num_threads'); threads = count(); "
        "blas.timed_product = lambda r=iter([(2.0, p), (1.0, p)]): next(r); import bertnp.backend; "
        "print(blas.kernels(), abs(a @ a.T - before).max() < 1e-10, 'OPENBLAS_CORETYPE' in os.environ, "
        "count() == threads)"  # one alone only while the kernels are timed
    )
    found = python(code, OPENBLAS_CORETYPE="Haswell", OPENBLAS_NUM_THREADS="2")
    assert found == ("SkylakeX True False True", "")


@able
def test_with_other_threads_nothing_is_changed_and_a_warning_says_what_to_do():
    code = FALLEN_BACK + (
        "import threading; e = threading.Event(); t = threading.Thread(target=e.wait); t.start(); " + LOOK + "; e.set()"
    )
    out, err = python(code, OPENBLAS_CORETYPE="Haswell")
    assert out == "Haswell"
    assert "set OPENBLAS_CORETYPE=SkylakeX" in err and err.count("UserWarning") == 1


@able
@pytest.mark.parametrize("amiss", ["kernels that are slower", "another result", "another name"])
def test_what_is_amiss_is_undone(amiss):
    patches = {
        "kernels that are slower": "b.timed_product = lambda r=iter([(1.0, p), (2.0, p)]): next(r)",
        "another result": "b.timed_product = lambda r=iter([(1.0, p), (0.5, p + 1)]): next(r)",
        "another name": "b.BETTER = 'Sandybridge'; b.Library.kernels = lambda self: 'Haswell'",
    }
    code = FALLEN_BACK + f"from bertnp import blas as b; p = b.timed_product()[1]; {patches[amiss]}; " + (
        "import bertnp.backend; print(b.Library.find().kernels())"
    )
    assert python(code, OPENBLAS_CORETYPE="Haswell") == ("Haswell", "")  # nor is anybody told to have them


@able
def test_the_users_own_choice_stands():
    assert python(LOOK, OPENBLAS_CORETYPE="Haswell") == ("Haswell", "")
    assert python("import numpy; " + LOOK, OPENBLAS_CORETYPE="Haswell") == ("Haswell", "")


@able
def test_it_can_be_turned_off():
    code = "import bertnp, os; print(os.environ.get('OPENBLAS_CORETYPE'))"
    assert python(code, BERTNP_BLAS="off")[0] == "None"
    assert python(FALLEN_BACK + LOOK, BERTNP_BLAS="off", OPENBLAS_CORETYPE="Haswell") == ("Haswell", "")


@pytest.mark.skipif(blas.library_file() is None, reason="needs NumPy's own OpenBLAS")
def test_threads_that_wait_for_a_product_give_way_soon():
    code = "import bertnp, os; print(os.environ.get('OPENBLAS_THREAD_TIMEOUT'))"
    assert python(code)[0] == blas.SHORT
    assert python(code, OPENBLAS_THREAD_TIMEOUT="26")[0] == "26"
    assert python(code, BERTNP_BLAS="off")[0] == "None"
    assert python("import numpy; " + code)[0] == "None"


def test_a_child_process_chooses_for_itself():
    chosen = {blas.VARIABLE: blas.BETTER, blas.TIMEOUT: blas.SHORT}
    assert blas.without_choices({**chosen, "HOME": "/"}) == {"HOME": "/"}
    of_user = {blas.VARIABLE: "Haswell", blas.TIMEOUT: "26"}
    assert blas.without_choices(of_user) == of_user


def test_other_processors_and_systems_are_left_alone(monkeypatch, tmp_path):
    monkeypatch.delenv(blas.VARIABLE, raising=False)
    monkeypatch.delenv("BERTNP_BLAS", raising=False)
    file = tmp_path / "cpuinfo"
    file.write_text("processor : 0\nflags\t\t: fpu avx2 avx512f\n\nflags : other\n", encoding="utf-8")
    assert blas.processor_flags(file) == {"fpu", "avx2", "avx512f"}
    assert blas.processor_flags(tmp_path / "none") == set()
    monkeypatch.setattr(blas, "processor_flags", lambda: {"avx2"})
    assert not blas.wanted()
    monkeypatch.setattr(blas, "processor_flags", lambda: blas.FLAGS)
    monkeypatch.setattr(blas.sys, "platform", "darwin")
    assert not blas.wanted()


@pytest.mark.skipif(blas.library_file() is None, reason="needs NumPy's own OpenBLAS")
def test_the_number_of_threads_is_changed_for_a_block_only():
    count = blas.Library.find().function("openblas_get_num_threads")
    before = count()
    with pytest.raises(ZeroDivisionError), blas.threads(1):
        assert count() == 1
        raise ZeroDivisionError
    assert count() == before


def test_another_library_keeps_its_threads(monkeypatch):
    monkeypatch.setattr(blas, "library_file", lambda: None)
    with blas.threads(1):
        pass
