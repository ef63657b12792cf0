"""Grade what students have handed in: a folder or a zip file, as Moodle or Canvas make it, or with a folder for each.

Files may be .py or .ipynb and bear any name: functions are found by theirs. Each submission is judged in processes of
its own, by this installation of bertnp, with limits of time and memory; whatever happens in one, the others go on.
Written are a table of marks, a page for each student, and a summary that puts the same mistakes together.
"""

import re
import sys
from argparse import ArgumentTypeError
from pathlib import Path

from bertnp.cli.arguments import note, number, writable_file
from bertnp.cli.teach import chapter_numbers, exercise_numbers
from bertnp.learn.teaching import caution

EXAMPLES = f"""\
examples:
  bertnp teach grade submissions.zip --chapters 5 --csv grades.csv --reports reports
  bertnp teach grade handed_in/ --exercises 9.1,9.2 --csv grades.csv --seed 2026 --format html --reports reports
  bertnp teach grade /autograder/submission --one --chapters 5 --csv grades.csv --gradescope results.json

{caution.NO_SANDBOX}

{caution.IN_A_CONTAINER}"""


def add_arguments(parser):
    parser.add_argument("submissions", type=Path, metavar="SUBMISSIONS", help="a folder, or a .zip, of submissions")
    parser.add_argument(
        "--csv", type=writable_file, required=True, metavar="FILE", help="where the table of marks goes"
    )
    parser.add_argument("--reports", type=Path, metavar="DIR", help="where the pages go (default: none are written)")
    parser.add_argument("--format", default="md", choices=("md", "html"), help="of the pages (default: md)")
    parser.add_argument("--chapters", type=chapter_numbers, metavar="3-9", help="grade the exercises of these chapters")
    parser.add_argument("--exercises", type=exercise_numbers, metavar="5.1,9.2", help="and these (default: all)")
    parser.add_argument("--one", action="store_true", help="all files are one student's")
    parser.add_argument("--gradescope", type=writable_file, metavar="FILE", help="with --one: where results.json goes")
    parser.add_argument("--seed", type=number(int, 0, 2**32), default=1, metavar="N",
                        help="of the judges' numbers: the same gives the same marks (default: 1; the students' "
                        "own checks have 0)")  # fmt: skip
    parser.add_argument("--timeout", type=number(float, 0, exclusive=True), default=20.0, metavar="SECONDS",
                        help="for reading a file, and for each exercise (default: 20)")  # fmt: skip
    parser.add_argument("--whole", type=number(float, 0, exclusive=True), metavar="SECONDS",
                        help="for a submission with all its exercises (default: six times --timeout)")  # fmt: skip
    parser.add_argument("--memory", type=memory, default="2G", metavar="SIZE",
                        help="for a submission, where the system can hold it (default: 2G)")  # fmt: skip
    parser.add_argument("--jobs", type=number(int, 1), metavar="N",
                        help="submissions judged at a time (default: one a core)")  # fmt: skip


def memory(text):
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMG]?)B?", text.strip(), re.I)
    if not found:
        raise ArgumentTypeError(f"expected a size such as 512M or 2G, got {text!r}")
    size = int(float(found[1]) * 1024 ** " KMG".index(found[2].upper() or " "))
    if size < 256 * 2**20:
        raise ArgumentTypeError(f"expected at least 256M, which Python and NumPy need themselves; got {text!r}")
    return size


def run(args):
    from tqdm import tqdm

    from bertnp.backend.files import write_text
    from bertnp.learn.teaching.grading import chosen, grade, write_table
    from bertnp.learn.teaching.processes import Limits
    from bertnp.learn.teaching.submissions import read

    inside = args.reports is not None and args.submissions.is_dir()
    if inside and args.reports.resolve().is_relative_to(args.submissions.resolve()):
        raise ValueError(f"--reports: {args.reports} is inside {args.submissions}, and would be graded the next time")
    if args.gradescope and not args.one:
        raise ValueError("--gradescope: that is for one submission; say --one")
    exercises = chosen(args.chapters, args.exercises)
    submissions = read(args.submissions, args.one)
    limits = Limits(args.timeout, args.whole or 6 * args.timeout, args.memory)
    with tqdm(total=len(submissions), desc="judging", unit=" students", leave=False, disable=None) as bar:
        judged = grade(submissions, exercises, args.seed, limits, args.jobs, lambda one: bar.update())
    write_table(args.csv, judged, exercises)
    if args.gradescope:
        write_text(args.gradescope, gradescope_text(judged[0], exercises))
    if args.reports:
        write_pages(args, judged, exercises, limits)
    say(judged, exercises, args)
    return 0


def gradescope_text(judged, exercises):
    import json

    from bertnp.learn.teaching.reports import gradescope

    return json.dumps(gradescope(judged, exercises), indent=1, ensure_ascii=False) + "\n"


def write_pages(args, judged, exercises, limits):
    from tqdm import tqdm

    from bertnp.learn.teaching.reports import Setting, write_reports

    with tqdm(total=len(judged), desc="pages", unit=" students", delay=2, leave=False, disable=None) as bar:
        path = write_reports(args.reports, judged, exercises, Setting(args.seed, limits), args.format, bar.update)
    print(f"{path}: the class; a folder beside it for each student")


def say(judged, exercises, args):
    """What a teacher wants to know at once."""
    most = sum(exercise.points for exercise in exercises)
    mean = sum(one.total for one in judged) / len(judged)
    print(f"{args.csv}: {len(judged)} students, {len(exercises)} exercises, mean {mean:.3g} of {most} points")
    special = [one for one in judged if one.remarks or any(m.status in ("refused", "stopped") for m in one.marks)]
    if special:
        print(f"{len(special)} of them have remarks; see the last column")
    if not all(one.memory_limited for one in judged):
        note("this system does not limit memory; time was limited")
    sys.stdout.flush()
