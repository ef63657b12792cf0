"""Writing files so that a reader sees the old one or the new one, never a half of it."""

import os
import re
import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path

LEFTOVER = re.compile(r"\.[0-9a-f]{8}\.(tmp|old)$")  # how names end while the new is written and the old removed


@contextmanager
def atomic_path(target):
    """Give a path beside `target` to write to; when the block ends well, that file takes the place of `target`.

    The new file is forced to the disk before it is renamed. If the block raises, `target` stays as it was.
    """
    target = Path(target)
    temporary = target.with_name(f"{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)  # some writers make a file of their own, which only its owner may read
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder):
    """Remove what killed processes left of the files and folders they were writing directly in `folder`."""
    folder = Path(folder)
    for path in folder.iterdir() if folder.is_dir() else ():
        if LEFTOVER.search(path.name):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def write_text(target, text):
    """Write `text` as UTF-8 with \\n line ends, atomically."""
    with atomic_path(target) as path:
        path.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def atomic_folder(target):
    """Give a new folder beside `target` to fill; when the block ends well it becomes `target`, an old one going first.

    Every file is forced to the disk before that. If the block raises, `target` stays as it was.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{target.name}.{secrets.token_hex(4)}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        for path in temporary.rglob("*"):
            if path.is_file():
                with open(path, "rb+") as file:
                    os.fsync(file.fileno())
        if target.exists():
            old = target.with_name(f"{target.name}.{secrets.token_hex(4)}.old")
            os.replace(target, old)
            os.replace(temporary, target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(temporary, target)
        sync_folder(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sync_folder(folder):
    """Force the names in a folder to the disk, where the system can."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
