"""Write what a class gets: chapters, a stub of every exercise, a test for pytest, and a page that says how to begin.

The new folder is proved before it is handed over: every stub fails, every solution passes, no stub gives one away. What
a student has not written yet comes from the installed package, so the package holds the answers; the page says so.
"""

import shutil
from pathlib import Path

from bertnp.cli.teach import chapter_numbers, exercise_numbers

EXAMPLES = """\
examples:
  bertnp teach make course --chapters 3-9
  bertnp teach make week5 --exercises 9.1,9.2 --solutions none
  bertnp teach make course --chapters 1-18 --answers tests/learn/answers.py    proves those, too, that the library
                                                                               does not answer

Students begin in the new folder, with its README.md: bertnp learn check 9.2 works there at once."""


def add_arguments(parser):
    parser.add_argument("folder", type=Path, metavar="OUT", help="a new folder")
    parser.add_argument("--chapters", type=chapter_numbers, metavar="3-9", help="chapters, with their exercises")
    parser.add_argument("--exercises", type=exercise_numbers, metavar="5.1,9.2",
                        help="these only, with their chapters (default: all)")  # fmt: skip
    parser.add_argument("--solutions", default="after-pass", choices=("none", "after-pass"),
                        help="what bertnp learn solution shows there (default: after-pass)")  # fmt: skip
    parser.add_argument("--answers", type=Path, metavar="FILE.py",
                        help="solutions of exercises that the library does not answer, for the proof")  # fmt: skip


def run(args):
    from tqdm import tqdm

    from bertnp.learn.exercises import registry
    from bertnp.learn.teaching import student_tree
    from bertnp.learn.teaching.grading import chosen

    exercises = chosen(None if args.exercises else args.chapters, args.exercises)
    numbers = {exercise.chapter for exercise in exercises} | set(args.chapters or ())
    student_tree.make(args.folder, exercises, numbers, args.solutions)
    try:
        with tqdm(total=len(exercises), desc="proving", unit=" exercises", leave=False, disable=None) as bar:
            faults = student_tree.faults(args.folder, exercises, args.answers, progress=bar.update)
    except BaseException:
        shutil.rmtree(args.folder)
        raise
    if faults:
        shutil.rmtree(args.folder)
        raise ValueError(f"{args.folder} is not written, since the proof fails. {' '.join(faults)}")
    unproved = [e.number for e in exercises if not args.answers and student_tree.unanswered(e)]
    print(f"{args.folder}: {len(exercises)} of {len(registry())} exercises; every stub fails, every solution passes")
    if unproved:
        print(f"the library has no solution to {', '.join(unproved)}; see --answers")
    return 0
