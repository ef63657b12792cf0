"""Whether all that the exercises need is there, and what to do where it isn't."""

import platform
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

import numpy as np

import bertnp
from bertnp.learn.chapters import chapters_folder
from bertnp.learn.exercises import registry
from bertnp.learn.judging import judge
from bertnp.learn.loading import here
from bertnp.learn.progress import Progress, own_folder, progress_file
from bertnp.learn.stubbing import stub_file

PYTHON = (3, 11)
VERSIONS = {"numpy": (2, 0), "scipy": (1, 11)}  # at least
OTHERS = 4  # chapters that differ: nobody changes so many
SLOW = 5.0  # seconds of a check
SLOW_PRODUCT = 0.25  # seconds of a product of two matrices (500, 500), which NumPy without a BLAS takes longer for


def examine():
    """Look at one thing after the other: yields (is it well?, what was found, what to do)."""
    yield python()
    for name, least in VERSIONS.items():
        yield package(name, least)
    yield blas()
    yield exercises()
    yield folder()
    yield progress()
    yield chapters()
    yield checks()


def python():
    found = f"Python {platform.python_version()} ({sys.executable})"
    return sys.version_info >= PYTHON, found, f"install Python {'.'.join(map(str, PYTHON))} or later"


def package(name, least):
    found = metadata.version(name)
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdecimal())
    wanted = ".".join(map(str, least))
    return numbers >= least, f"{name} {found}", f"pip install --upgrade '{name}>={wanted}'"


def blas():
    """Which library multiplies matrices, and how fast."""
    try:
        name = np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
    except (KeyError, TypeError):
        name = "unknown"
    x = np.random.default_rng(0).normal(size=(500, 500))
    times = []
    for _ in range(5):
        began = time.perf_counter()
        x @ x
        times.append(time.perf_counter() - began)
    found = f"BLAS: {name}, {2 * len(x) ** 3 / min(times) / 1e9:.0f} GFLOP/s"
    return min(times) < SLOW_PRODUCT, found, "matrix products are slow here: pip install --force-reinstall numpy"


def exercises():
    found = registry()
    chapters = len({exercise.chapter for exercise in found.values()})
    text = f"bertnp {bertnp.__version__}: {len(found)} exercises of {chapters} chapters"
    return bool(found), text, "reinstall bertnp"


def folder():
    """Can files be written where the reader's own go?"""
    path = own_folder()
    place = next(parent for parent in (path, *path.resolve().parents) if parent.is_dir())
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        return False, f"{here(path)}: files can't be written there ({error.strerror})", "work in a folder of your own"
    if path.is_dir():
        files = ", ".join(sorted(file.name for file in path.glob("ch*.py")))
        return True, f"{here(path)}: your files are here ({files or 'none yet'})", ""
    return True, f"{here(path)}: your files will be here; bertnp learn start makes it", ""


def progress():
    path = progress_file()
    if path is None:
        return True, "progress.json: none yet", ""
    try:
        found = Progress.read(path)
    except ValueError as error:
        return False, str(error), "mend it in an editor, or move it away: your code stays, and check notes it anew"
    unknown = [number for number in found.standings if number not in registry()]
    if unknown:
        text = f"{here(path)} knows of exercises that are not here: {', '.join(unknown)}"
        return (
            False,
            text,
            f"it was written by bertnp {found.version}, this is {bertnp.__version__}: install that again",
        )
    if found.version not in ("", bertnp.__version__):
        text = f"{here(path)} was written by bertnp {found.version}, this is {bertnp.__version__}"
        return False, text, "check everything again: bertnp learn check"
    passed = sum(standing.passed for standing in found.standings.values())
    return True, f"{here(path)}: {passed} passed", ""


def chapters():
    """Are the chapters here those of this bertnp?"""
    own = next((path for path in (Path("chapters"), Path()) if (path / "ch00_quickstart.py").is_file()), None)
    if own is None:
        return True, "chapters: none in this folder; bertnp chapters init DIR unpacks them", ""
    try:
        installed = chapters_folder()
    except FileNotFoundError as error:
        return False, f"chapters: {error}", "reinstall bertnp"
    if own.resolve() == installed.resolve():
        return True, f"chapters: those of bertnp {bertnp.__version__}", ""
    others = [path.stem for path in sorted(installed.glob("ch*.py")) if differs(own / path.name, path)]
    if not others:
        return True, f"chapters: the same as those of bertnp {bertnp.__version__}", ""
    text = f"chapters: {', '.join(others)} not as in bertnp {bertnp.__version__}: changed by you, or of another version"
    return len(others) < OTHERS, text, "bertnp chapters init DIR unpacks this version's; copy the folder mine there"


def differs(one, other):
    return not one.is_file() or one.read_bytes() != other.read_bytes()


def checks():
    """Does a check run, and find out that a stub is one?"""
    exercise = next(iter(registry().values()))
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "stub.py")
        path.write_text(stub_file(exercise.chapter, [exercise]), encoding="utf-8")
        began = time.perf_counter()
        [(_, verdict)], printed = judge(path, [exercise], timeout=4 * SLOW)
        seconds = time.perf_counter() - began
    if verdict.mistake != "unwritten":
        text = f"a check doesn't run: {verdict.sentence} {printed}"
        return False, text.strip(), "look whether Python may start other processes here, and write temporary files"
    return seconds < SLOW, f"a check takes {seconds:.1f} s", "other programs keep this computer busy"
