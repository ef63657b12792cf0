"""Write parts of BERT yourself: exercises to the chapters, checked in a second, with hints.

`start` writes a chapter's functions without their bodies into a file of your own, `check` tells whether what you wrote
there is right, and if not, what is wrong. Your files and progress.json, where you stand, are in chapters/mine where
there is a folder chapters, else in mine; or beside the file that BERTNP_PROGRESS names.
"""

import textwrap
from pathlib import Path
from time import sleep, strftime

from bertnp.backend.files import remove_leftovers
from bertnp.cli.arguments import note, number, program
from bertnp.learn.exercises import registry

EXAMPLES = """\
examples:
  bertnp learn                        all exercises, and where you stand
  bertnp learn start 9                writes chapters/mine/ch09.py: open it and write
  bertnp learn check 9.2              is it right? (check 9: a chapter; check: all you have started)
  bertnp learn watch 9                checks again whenever you save; Ctrl-C ends it
  bertnp learn hint 9.2               each time one more
  bertnp learn solution 9.2           the library's, once yours is right (before that: --give-up)
  bertnp learn reset 9.2              begins anew; what you wrote is kept beside it
  bertnp learn doctor                 is everything here that is needed?

The exit code of check is 1 if something is not right yet. See also bertnp tour --help: pre-train BERT on your code.
"""
LOOK = 0.3  # seconds between looks at a watched file


def add_arguments(parser):
    from bertnp.learn.judging import TIMEOUT

    parser.add_argument("action", nargs="?", default="list", choices=tuple(DEEDS), metavar="ACTION",
                        help=f"{', '.join(DEEDS)} (default: list)")  # fmt: skip
    parser.add_argument("what", nargs="?", metavar="NUMBER", help="of an exercise, 9.2, or of a chapter, 9")
    parser.add_argument("--file", type=Path, metavar="FILE.py", help="check: your file, if it is another")
    parser.add_argument("--give-up", action="store_true",
                        help="solution: show it now; the exercise brings no points then")  # fmt: skip
    parser.add_argument("--seed", type=number(int, 0), default=0, metavar="N",
                        help="check, watch: of the numbers checked with (default: 0)")  # fmt: skip
    parser.add_argument("--timeout", type=number(float, 0, exclusive=True), default=TIMEOUT, metavar="SECONDS",
                        help=f"check, watch: that an exercise may take (default: {TIMEOUT:g})")  # fmt: skip


def run(args):
    return DEEDS[args.action](args)


# which exercises


def chosen(what):
    """The exercises that a number means: one, or those of a chapter. ValueError where there are none."""
    chapter, dot, _ = what.partition(".")
    if dot and "".join(what.split(".")).isdecimal() and what.count(".") == 1:
        wanted = ".".join(str(int(part)) for part in what.split("."))
        if wanted in registry():
            return [registry()[wanted]]
    elif what.isdecimal():
        found = [exercise for exercise in registry().values() if exercise.chapter == int(what)]
        if found:
            return found
    else:
        raise ValueError(f"expected the number of an exercise, such as 9.2, or of a chapter, such as 9; got {what!r}")
    there = [e.number for e in registry().values() if dot and e.chapter == int(chapter)]
    there = there or [str(n) for n in dict.fromkeys(e.chapter for e in registry().values())]
    raise ValueError(f"{what}: there is nothing to code of that number; there are {', '.join(there)}")


def wanted(args, one=False):
    """The exercises that the command line asks for. ValueError where it says none, or a chapter in place of one."""
    if args.what is None:
        raise ValueError(f"{args.action}: expected the number of {'an exercise' if one else 'a chapter or exercise'}")
    found = chosen(args.what)
    if one and "." not in args.what:
        raise ValueError(f"{args.action}: expected one exercise, such as {found[0].number}; got chapter {args.what}")
    return found


def file_of(chapter):
    """The reader's file of a chapter."""
    from bertnp.learn.progress import own_folder

    return own_folder() / f"ch{chapter:02}.py"


def points(count):
    return "1 point" if count == 1 else f"{count} points"


# the actions


def list_all(args):
    """All exercises by chapter, or those of one chapter with what to do, and where the reader stands."""
    from bertnp.learn.progress import Progress

    progress = Progress.here()
    exercises = chosen(args.what) if args.what else list(registry().values())
    for chapter in dict.fromkeys(exercise.chapter for exercise in exercises):
        print(f"{chapter:02}  {title_of(chapter)}")
        for exercise in exercises:
            if exercise.chapter == chapter:
                worth = points(exercise.points)
                print(f"  {exercise.number:5} {exercise.title:44} {worth:9}  {state(exercise, progress)}".rstrip())
                if args.what:
                    say_task(exercise)
    print(f"\n{score(progress, exercises)}")
    return say_next(progress)


def say_task(exercise):
    print(textwrap.fill(exercise.task, 100, initial_indent=" " * 8, subsequent_indent=" " * 8))


def title_of(chapter):
    from bertnp.learn.chapters import find

    try:
        return find(chapter).title
    except (ValueError, OSError):  # the chapters are not installed, or one is not there
        return f"Chapter {chapter}"


def state(exercise, progress):
    standing = progress.of(exercise)
    parts = ["passed" if standing.passed else "started" if exercise.functions[0] in progress.open else ""]
    parts += ["given up"] * standing.given_up
    parts += [f"{standing.hints} hint{'s' * (standing.hints > 1)}"] * bool(standing.hints)
    return ", ".join(filter(None, parts))


def score(progress, exercises):
    standings = [(exercise, progress.of(exercise)) for exercise in exercises]
    passed, reached = sum(s.passed for _, s in standings), sum(s.points for _, s in standings)
    return f"{passed} of {len(standings)} passed, {reached} of {points(sum(e.points for e, _ in standings))}"


def say_next(progress):
    """What to do next: the first exercise that isn't passed, in the chapters begun if there is one."""
    waiting = [exercise for exercise in registry().values() if not progress.of(exercise).passed]
    begun = [exercise for exercise in waiting if file_of(exercise.chapter).is_file()]
    if begun:
        print(f"Next: {begun[0].number}, {begun[0].title} ({program()} learn check {begun[0].number})")
    elif waiting:
        print(f"Next: chapter {waiting[0].chapter} ({program()} learn start {waiting[0].chapter})")
    else:
        print(f"That is all. See what your own functions can do: {program()} tour --impl {file_of(5).parent}")


def start(args):
    """Write a chapter's stubs into the reader's file, or those that it lacks."""
    from bertnp.learn import stubbing
    from bertnp.learn.loading import here
    from bertnp.learn.progress import Progress

    chapter = wanted(args)[0].chapter
    exercises = chosen(str(chapter))
    progress, path = Progress.here(), file_of(chapter)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent)
    new = not path.exists()
    added = stubbing.start(path, exercises)
    for exercise in exercises:
        if new or set(exercise.functions) & set(added):
            progress.start(exercise)
    progress.save()
    if new:
        print(f"wrote {here(path)}, with what is to be written:")
    elif added:
        print(f"{here(path)} is there already; what you wrote stays, these are new: {', '.join(added)}")
    else:
        print(f"{here(path)} is there already, with all that is to be written; it stays as it is")
    for exercise in exercises:
        print(f"  {exercise.number:5} {exercise.title} ({points(exercise.points)})")
        say_task(exercise)
        unmet = [number for number in exercise.needs if not progress.of(registry()[number]).passed]
        if unmet:
            print(f"        It builds on {', '.join(unmet)}, not passed yet.")
    print(f"Write it, then: {program()} learn check {exercises[0].number}, or {program()} learn watch {chapter}")


def check(args):
    """Judge what the reader wrote; 1 if something isn't right."""
    if args.what:
        return check_all(chosen(args.what), args)
    if args.file:
        raise ValueError("check --file: expected the number of a chapter or exercise, too")
    begun = [exercise for exercise in registry().values() if file_of(exercise.chapter).is_file()]
    if not begun:
        raise ValueError(f"check: nothing is started yet; begin with {program()} learn start 5")
    return check_all(begun, args)


def check_all(exercises, args):
    """Judge some exercises, chapter by chapter, say what was found, and note it in the progress file."""
    from bertnp.learn.judging import judge
    from bertnp.learn.progress import Progress

    before, right = score(Progress.here(), exercises), True  # a broken progress file is told of first
    for chapter in dict.fromkeys(exercise.chapter for exercise in exercises):
        path = args.file or file_of(chapter)
        if not path.is_file():
            raise ValueError(f"there is no file {path}{'' if args.file else f'; {program()} learn start {chapter}'}")
        verdicts, printed = judge(path, [e for e in exercises if e.chapter == chapter], args.seed, args.timeout)
        progress = Progress.here()
        for exercise, verdict in verdicts:
            progress.checked(exercise, verdict.ok)
            right = right and verdict.ok
        progress.save()
        if printed.strip():
            print(f"Your code printed:\n{printed.rstrip()}\n")
        for exercise, verdict in verdicts:
            say_result(exercise, verdict, progress, brief=len(exercises) > 1)
    if len(exercises) > 1 or before != score(progress, exercises):
        print(score(progress, exercises))
    if right:
        say_next(progress)
    return 0 if right else 1


def say_result(exercise, verdict, progress, brief):
    """The report and what it means; brief: only a line for what is not written yet."""
    standing = progress.of(exercise)
    if brief and verdict.mistake == "unwritten" and not verdict.score:
        print(f"{exercise.number}  {exercise.title}\n{exercise.number} is not written yet.\n", flush=True)
        return
    print(f"{exercise.number}  {exercise.title}\n{verdict.text}")
    if verdict.ok:
        worth = "no points, since you looked at the solution" if standing.given_up else points(exercise.points)
        shown = answers_of(exercise) and progress.solutions != "none"
        library = f" The library's: {program()} learn solution {exercise.number}" if shown else ""
        print(f"{exercise.number} is right: {worth}.{library}\n", flush=True)
        return
    share = f" So far {verdict.score:.0%} of it holds." if verdict.score else ""
    left = len(exercise.hints) - standing.hints
    kept = f"{left} of {len(exercise.hints)} left" if left else "you have had them all"
    hint = f"{program()} learn hint {exercise.number} ({kept})"
    print(f"{exercise.number} is not right yet.{share} A hint: {hint}\n", flush=True)


def watch(args):
    """Check whenever the file is saved, until Ctrl-C."""
    from bertnp.learn.loading import here

    exercises = wanted(args)
    path = file_of(exercises[0].chapter)
    if not path.is_file():
        raise ValueError(f"there is no file {path}; {program()} learn start {exercises[0].chapter}")
    seen = None
    try:
        while True:
            now = saved(path)
            if now is not None and now != seen:
                seen = now
                print(f"---- {strftime('%H:%M:%S')}", flush=True)
                check_all(exercises, args)
                print(f"watching {here(path)}: save it to check it again; Ctrl-C ends this", flush=True)
            sleep(LOOK)
    except KeyboardInterrupt:
        print()
        note(f"{here(path)} is no longer watched")


def saved(path):
    """When a file was last written, and how long it is; None while an editor is at it."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size) if found.st_size else None


def hint(args):
    """One more hint; after the last, all of them again."""
    from bertnp.learn.progress import Progress

    (exercise,) = wanted(args, one=True)
    progress = Progress.here()
    standing, count = progress.change(exercise), len(exercise.hints)
    if standing.hints < count:
        standing.hints += 1
        progress.save()
        print(f"Hint {standing.hints} of {count} to {exercise.number}: {exercise.hints[standing.hints - 1]}")
        return
    for place, text in enumerate(exercise.hints, 1):
        print(f"Hint {place} of {count} to {exercise.number}: {text}")
    if not standing.passed:
        solution = f" To see the solution: {program()} learn solution {exercise.number} --give-up"
        print(f"There are no more.{'' if progress.solutions else solution}")


def solution(args):
    """The library's functions, once the reader's are right, or on giving up."""
    from bertnp.learn.progress import Progress
    from bertnp.learn.showing import show

    (exercise,) = wanted(args, one=True)
    progress = Progress.here()
    standing = progress.change(exercise)
    named = f"{program()} learn"
    answers = answers_of(exercise)
    if progress.solutions == "none" or (progress.solutions == "after-pass" and not standing.passed):
        when = "no solutions" if progress.solutions == "none" else "solutions only to those who have passed"
        raise ValueError(f"{exercise.number}: this course shows {when} (a hint: {named} hint {exercise.number})")
    if not standing.passed and not standing.given_up:
        if not args.give_up:
            raise ValueError(f"{exercise.number} is not passed yet; a hint: {named} hint {exercise.number}; to see the "
                             f"solution now, for no points: {named} solution {exercise.number} --give-up")  # fmt: skip
        if answers:
            standing.given_up = True
            progress.close(exercise)
            progress.save()
            print(f"{exercise.number} is noted as given up.\n")
    if answers:
        show(*answers)
    else:
        hints = f"there are hints only: {named} hint {exercise.number}"
        print(f"The library has no solution to {exercise.number}; {'yours is one' if standing.passed else hints}")


def answers_of(exercise):
    """The library's functions that answer an exercise."""
    from bertnp.learn.plugging import stands_in_library

    return [source for name, source in exercise.source.items() if stands_in_library(name, source)]


def reset(args):
    """Stubs in place of what the reader wrote, of which a copy is kept."""
    from bertnp.learn import stubbing
    from bertnp.learn.loading import here
    from bertnp.learn.progress import Progress

    exercises = wanted(args)
    path, progress = file_of(exercises[0].chapter), Progress.here()
    if not path.is_file():
        raise ValueError(f"there is no file {path}; {program()} learn start {exercises[0].chapter}")
    copy = stubbing.reset(path, exercises)
    for exercise in exercises:
        standing = progress.change(exercise)
        standing.passed, standing.points = False, 0
        progress.start(exercise)
    progress.save()
    names = [name for exercise in exercises for name in exercise.functions]
    print(f"{', '.join(names)}: to be written again in {here(path)}; what you had is in {here(copy)}")


def doctor(args):
    """Whether all that is needed is there; 1 if not."""
    from bertnp.learn.doctor import examine

    ill = 0
    for well, found, advice in examine():
        print(f"{'ok ' if well else 'NO '} {found}" + ("" if well or not advice else f"\n    {advice}"))
        ill += not well
    print("\nAll is well." if not ill else f"\n{ill} to be seen to.")
    return 1 if ill else 0


DEEDS = {"list": list_all, "start": start, "check": check, "watch": watch, "hint": hint,
                   "solution": solution, "reset": reset, "doctor": doctor}  # fmt: skip
