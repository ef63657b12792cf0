"""Runs chapters twice each, as many at a time as there are cores; when one is done, FOLDER/its name.json says so.

python tests/chapters/twice.py FOLDER CHAPTER.py ...     ends when its standard input does
"""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
HANGS = 900  # seconds after which a chapter is taken to hang, on a computer that is busy with much else
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "cp1252", "OPENBLAS_NUM_THREADS": "1"}
TWICE = """
import os, runpy, sys
for folder in sys.argv[2:]:
    os.environ["BERTNP_FIGURES"] = folder
    argv, sys.argv = sys.argv, sys.argv[1:2]
    runpy.run_path(argv[1], run_name="__main__")
    sys.argv = argv
"""
processes = []


def run(folder, chapter):
    """Twice in one process, in a folder of its own, on a console that knows Western letters only."""
    work = folder / chapter.stem
    work.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", TWICE, str(chapter), str(work / "first"), str(work / "second")],
        cwd=work,
        env={**os.environ, **ENVIRONMENT},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="cp1252",
        errors="replace",
    )
    processes.append(process)
    try:
        _, errors = process.communicate(timeout=HANGS)
    except subprocess.TimeoutExpired:
        process.kill()
        _, errors = process.communicate()
        errors += f"\nkilled after {HANGS} seconds"
    unfinished = folder / f"{chapter.stem}.part"
    unfinished.write_text(json.dumps({"returncode": process.returncode, "errors": errors}), encoding="utf-8")
    unfinished.replace(folder / f"{chapter.stem}.json")


def end_with_standard_input():
    sys.stdin.read()
    for process in processes:
        process.kill()
    os._exit(0)


def main(folder, *chapters):
    threading.Thread(target=end_with_standard_input, daemon=True).start()
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(run, [Path(folder)] * len(chapters), map(Path, chapters)))


if __name__ == "__main__":
    main(*sys.argv[1:])
