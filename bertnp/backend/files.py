"""Writing files so that a reader sees the old one or the new one, never a half of it."""

import os
import secrets
from contextlib import contextmanager
from pathlib import Path


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


def write_text(target, text):
    """Write `text` as UTF-8 with \\n line ends, atomically."""
    with atomic_path(target) as path:
        path.write_text(text, encoding="utf-8", newline="\n")
