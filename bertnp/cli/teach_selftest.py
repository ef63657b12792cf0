"""See whether the exercises can be taught with: before a course, and after every change.

Every stub fails, every solution passes; every mistake that the gradient checker knows is rejected and called by its
name; a student's tree is complete; whoever hands in all solutions gets all points; and a made class, in which
everything goes wrong that can, gets the marks it must.
"""

from pathlib import Path

EXAMPLES = """\
examples:
  bertnp teach selftest
  bertnp teach selftest --answers tests/learn/answers.py    and solutions that the library does not have

The exit code is 1 if something is wrong."""


def add_arguments(parser):
    parser.add_argument("--answers", type=Path, metavar="FILE.py",
                        help="solutions of exercises that the library does not answer")  # fmt: skip


def run(args):
    from tqdm import tqdm

    from bertnp.learn.teaching.selftest import selftest

    wrong = 0
    with tqdm(desc="testing", leave=False, disable=None, bar_format="{desc}: {n_fmt} ({elapsed})") as bar:

        def progress(what):
            bar.set_description(what, refresh=False)
            bar.update()

        for step in selftest(args.answers, progress):
            bar.clear()
            print(
                "\n".join([f"{'WRONG' if step.faults else 'ok':5}  {step.what}", *(f"       {f}" for f in step.faults)])
            )
            wrong += bool(step.faults)
            bar.reset()
    return 1 if wrong else 0
