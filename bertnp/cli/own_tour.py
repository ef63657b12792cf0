"""The tour on functions of one's own: judged first, then run in a process of their own."""

import json
import subprocess
import sys
import textwrap
from collections import Counter
from dataclasses import asdict
from functools import wraps
from pathlib import Path

from bertnp.cli.arguments import program
from bertnp.cli.tour import WIDTH, Settings, take_tour
from bertnp.learn.exercises import exercise_of, registry
from bertnp.learn.judging import environment, judge
from bertnp.learn.loading import here, line_in, load, said, shown
from bertnp.learn.plugging import own_places, plugged, replaceable

MINUTES = "two to four minutes, and more if yours go through arrays number by number"


def take_own_tour(paths, output, seed=0, settings=None, unchecked=False, progress=False):
    """Take the tour on the functions that files, or the files of folders, write for exercises; returns an exit code.

    Raises ValueError where one doesn't pass its check, unless unchecked. What is not written yet is the library's.
    """
    places, unwritten = own_places(paths)
    known = replaceable()
    in_bert = [name for name in places if name in known and not known[name].__module__.startswith("bertnp.gradcheck.")]
    if not in_bert:
        raise ValueError(f"--impl: {', '.join(map(str, paths))} writes no function that BERT is made of")
    if not unchecked:
        refuse_wrong(places)
    tell(f"Your own functions: {', '.join(in_bert)}. All else is the library's.")
    for what, names in (("Not written yet", unwritten), ("Not part of BERT", sorted(places.keys() - set(in_bert)))):
        if names:
            tell(f"{what}: {', '.join(names)}.")
    tell(f"The library's fast versions of these are off, so this takes {MINUTES}.")
    order = {"places": {name: str(places[name]) for name in in_bert}, "output": str(output), "seed": seed}
    order |= {"settings": asdict(settings or Settings()), "progress": progress, "called": sys.argv[0]}
    command = [sys.executable, "-m", "bertnp.cli.own_tour", json.dumps(order)]
    code = subprocess.run(command, env=environment()).returncode
    if code not in (0, 2, 130):
        raise OSError(f"the tour's process ended before the tour (exit code {code})")
    return code


def tell(text):
    print(textwrap.fill(text, WIDTH), flush=True)


def refuse_wrong(places):
    """ValueError, with the judge's sentence, where a function doesn't pass its check."""
    of_file = {}
    for name, file in places.items():
        of_file.setdefault(file, {}).setdefault(exercise_of(name).number, name)
    for file, names in of_file.items():
        for exercise, verdict in judge(file, [registry()[number] for number in names])[0]:
            if not verdict.ok:
                check = f"{program()} learn check {exercise.number}"
                raise ValueError(f"{here(file)}: {names[exercise.number]} does not pass its check ({check}): "
                                 f"{verdict.sentence} With --unchecked the tour runs on it all the same.")  # fmt: skip


# in the other process


def main(order):
    """Take the tour with these functions in the library's place; an error is told of with its line."""
    sys.argv[0] = order["called"]  # so that the tour says what to type next
    files = {file: load(file) for file in dict.fromkeys(order["places"].values())}
    calls = Counter()
    functions = {name: counted(name, files[file][name], calls) for name, file in order["places"].items()}
    settings = order["settings"] | {"labels": tuple(order["settings"]["labels"])}
    say = lambda line: print(line, flush=True)  # noqa: E731
    try:
        with plugged(functions):
            take_tour(order["output"], order["seed"], Settings(**settings), say, order["progress"])
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        print(f"bertnp: error: {of_own(error, files) or said(error)}", file=sys.stderr)
        return 2
    counts = ", ".join(f"{name} {count:,} times" for name, count in calls.most_common())
    idle = ", ".join(name for name in functions if not calls[name])
    say("")
    tell(f"How often the library called your functions: {counts or 'never'}.{idle and f' It had no use for {idle}.'}")
    return 0


def counted(name, function, calls):
    """The function, which counts its calls."""

    @wraps(function)
    def called(*args, **kwargs):
        calls[name] += 1
        return function(*args, **kwargs)

    return called


def of_own(error, files):
    """Where in the student's files an exception came from, in a line; "" where it came from elsewhere."""
    for file in files:
        line = line_in(str(Path(file).resolve()), error)
        if line is not None:
            return f"{shown(file, line)}: {said(error)}"
    return ""


if __name__ == "__main__":
    raise SystemExit(main(json.loads(sys.argv[1])))
