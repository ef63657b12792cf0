"""Chapters run in the background while other tests do: they take minutes, and a computer has more than one core."""

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HANGS = 900  # seconds after which a chapter is taken to hang, on a machine that is busy with much else
TWICE = """
import os, runpy, sys
for folder in sys.argv[2:]:
    os.environ["BERTNP_FIGURES"] = folder
    argv, sys.argv = sys.argv, sys.argv[1:2]
    runpy.run_path(argv[1], run_name="__main__")
    sys.argv = argv
"""


@dataclass
class Run:
    """What came of running a chapter twice.

    pictures: of both runs, {name: bytes}   left_behind: names of what else is there in the folder it ran in
    """

    returncode: int
    stderr: str
    pictures: tuple
    left_behind: list


class Runs:
    """Chapters that run, as many at a time as there are cores."""

    def __init__(self, chapters):
        self.folder = tempfile.TemporaryDirectory(prefix="bertnp-chapters-", ignore_cleanup_errors=True)
        self.pool = ThreadPoolExecutor(os.cpu_count() or 1)
        self.processes = []
        self.results = {chapter.number: self.pool.submit(self.run, chapter) for chapter in chapters}

    def run(self, chapter):
        """Twice in one process, in a folder of its own, on a console that knows Western letters only."""
        work = Path(self.folder.name) / chapter.path.stem
        work.mkdir()
        folders = [work / "first", work / "second"]
        environment = {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "cp1252", "OPENBLAS_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-c", TWICE, str(chapter.path), *map(str, folders)],
            cwd=work,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="cp1252",
        )
        self.processes.append(process)
        try:
            _, stderr = process.communicate(timeout=HANGS)
        finally:
            process.kill()
        pictures = tuple({path.name: path.read_bytes() for path in folder.glob("*")} for folder in folders)
        left_behind = [path.name for path in work.iterdir() if path not in folders]
        return Run(process.returncode, stderr, pictures, left_behind)

    def stop(self):
        self.pool.shutdown(wait=False, cancel_futures=True)
        for process in self.processes:
            process.kill()
        self.pool.shutdown()
        self.folder.cleanup()


RUNS = pytest.StashKey()


def asks(item):
    return "run_of" in getattr(item, "fixturenames", ())


def pytest_collection_modifyitems(items):
    """What is asked of a run comes last, when it is over."""
    items.sort(key=asks)


def pytest_collection_finish(session):
    chapters = {item.callspec.params["chapter"].number: item.callspec.params["chapter"] for item in session.items
                if asks(item)}  # fmt: skip
    if chapters and not session.config.option.collectonly:
        session.config.stash[RUNS] = Runs(chapters.values())


def pytest_sessionfinish(session):
    if RUNS in session.config.stash:
        session.config.stash[RUNS].stop()


@pytest.fixture
def run_of(request):
    """A function that gives the `Run` of a chapter."""
    runs = request.config.stash[RUNS]
    return lambda chapter: runs.results[chapter.number].result()
