"""Teach with the exercises: hand out stubs, grade what comes back, and see that all of it still works.

`bertnp teach make` writes what the students get, `bertnp teach grade` judges what they hand in, `bertnp teach selftest`
proves both. See the help of each.
"""

EXAMPLES = """\
examples:
  bertnp teach make course --chapters 3-9
  bertnp teach grade submissions.zip --chapters 5 --csv grades.csv --reports reports
  bertnp teach selftest
  bertnp teach grade --help

Grading is no sandbox against malice; bertnp teach grade --help says how to run it in one."""
ACTIONS = ("make", "grade", "selftest")


def add_arguments(parser):
    parser.add_argument("action", nargs="?", help="make, grade or selftest")


def run(args):
    if args.action is None:
        raise ValueError("say what to do: bertnp teach make, bertnp teach grade or bertnp teach selftest (see --help)")
    raise ValueError(f"there is no action {args.action!r}; there are {', '.join(ACTIONS[:-1])} and {ACTIONS[-1]}")


def chapter_numbers(text):
    """An argument such as 3-9 or 5,7: the numbers of chapters, in order."""
    import argparse

    numbers = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise argparse.ArgumentTypeError(f"expected chapters such as 5, 3-9 or 5,7; got {text!r}")
        numbers |= set(range(int(first), int(last or first) + 1))
    return sorted(numbers)


def exercise_numbers(text):
    """An argument such as 5.1,9.2: the numbers of exercises."""
    return [part.strip() for part in text.split(",") if part.strip()]
