"""Draw the pictures of the chapters again, by running the chapters."""

import os
import subprocess
import sys
from pathlib import Path

from bertnp.cli.arguments import number

EXAMPLES = """\
examples:
  bertnp figures                 all of them, into the folder figures
  bertnp figures 6 9 -o /tmp/f   those of chapters 6 and 9, somewhere else
"""


def add_arguments(parser):
    parser.add_argument("numbers", nargs="*", type=number(int, 0), metavar="NUMBER", help="chapters (default: all)")
    where = "default: the folder figures beside the chapters; where bertnp was installed from a wheel: here"
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help=where)


def run(args):
    from tqdm import tqdm

    from bertnp.learn.chapters import chapters, chapters_folder, find
    from bertnp.learn.pictures import figures_beside

    chosen = [find(number) for number in args.numbers] or chapters()
    folder = args.output or figures_beside(chapters_folder())
    folder.mkdir(parents=True, exist_ok=True)
    before = times(folder)
    environment = {**os.environ, "BERTNP_FIGURES": str(folder.resolve())}
    for chapter in tqdm(chosen, unit="chapter", leave=False, disable=None):
        result = subprocess.run(
            [sys.executable, str(chapter.path)], env=environment, capture_output=True, text=True, encoding="utf-8",
            errors="replace",
        )  # fmt: skip
        if result.returncode:
            last = (result.stderr.strip().splitlines() or ["no message"])[-1]
            raise ValueError(f"chapter {chapter.number} ended with an error: {last}")
    drawn = [path for path, time in times(folder).items() if before.get(path) != time]
    print(f"{len(drawn)} pictures drawn in {folder}")
    return 0


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.glob("*.png")}
