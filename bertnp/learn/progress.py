"""Which exercises the reader has still to do."""

import json
import os
from pathlib import Path

PROGRESS_FILE = Path("mine") / "progress.json"  # beside the chapters


def progress_file():
    """The reader's progress file: BERTNP_PROGRESS, or mine/progress.json in ./chapters or here; None: there is none."""
    named = os.environ.get("BERTNP_PROGRESS")
    places = [Path(named)] if named else [Path("chapters") / PROGRESS_FILE, PROGRESS_FILE]
    return next((path for path in places if path.is_file()), None)


def open_exercises():
    """Names of the functions that the reader is still to write: what the progress file lists as "open"."""
    path = progress_file()
    if path is None:
        return frozenset()
    try:
        return frozenset(json.loads(path.read_text(encoding="utf-8"))["open"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path}: expected JSON with a list "open" of names of functions') from error
