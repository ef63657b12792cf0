"""Chapters run in the background while other tests do: they take minutes, and a computer has more than one core."""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class Run:
    """What came of running a chapter twice.

    pictures: of both runs, {name: bytes}   left_behind: names of what else is there in the folder it ran in
    """

    returncode: int
    errors: str
    pictures: tuple
    left_behind: list


class Runs:
    """Chapters that are run by a process of their own, so that nothing that tests do reaches them."""

    def __init__(self, chapters):
        self.folder = tempfile.TemporaryDirectory(prefix="bertnp-chapters-", ignore_cleanup_errors=True)
        program = Path(__file__).with_name("twice.py")
        paths = [str(chapter.path) for chapter in chapters]
        self.process = subprocess.Popen(
            [sys.executable, str(program), self.folder.name, *paths], stdin=subprocess.PIPE
        )  # fmt: skip

    def of(self, chapter):
        """The run of a chapter, when it is over."""
        told = Path(self.folder.name, f"{chapter.path.stem}.json")
        while not told.exists():
            assert self.process.poll() is None or told.exists(), "twice.py has ended without running this chapter"
            time.sleep(0.05)
        work = told.with_suffix("")
        folders = [work / "first", work / "second"]
        pictures = tuple({path.name: path.read_bytes() for path in folder.glob("*")} for folder in folders)
        left_behind = [path.name for path in work.iterdir() if path not in folders]
        return Run(**json.loads(told.read_text(encoding="utf-8")), pictures=pictures, left_behind=left_behind)

    def stop(self):
        self.process.stdin.close()
        self.process.wait()
        self.folder.cleanup()


RUNS = pytest.StashKey()


def asks(item):
    return "run_of" in getattr(item, "fixturenames", ())


def pytest_collection_modifyitems(items):
    """What is asked of a run comes last, when it is over."""
    items.sort(key=asks)


def pytest_collection_finish(session):
    chapters = {item.callspec.params["chapter"].number: item.callspec.params["chapter"]
                for item in session.items if asks(item)}  # fmt: skip
    if chapters and not session.config.option.collectonly:
        session.config.stash[RUNS] = Runs(chapters.values())


def pytest_sessionfinish(session):
    if RUNS in session.config.stash:
        session.config.stash[RUNS].stop()


@pytest.fixture
def run_of(request):
    """A function that gives the `Run` of a chapter."""
    return request.config.stash[RUNS].of
