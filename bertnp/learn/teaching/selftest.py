"""Whether the exercises can be taught with: each step yields what it is about, and sentences on what is wrong."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from bertnp.gradcheck import mistakes
from bertnp.learn.exercises import exercise_of, registry
from bertnp.learn.loading import load
from bertnp.learn.stubbing import textbook_of
from bertnp.learn.teaching import made_class, student_tree
from bertnp.learn.teaching.grading import grade
from bertnp.learn.teaching.processes import Limits, judge
from bertnp.learn.teaching.submissions import Submission, read


@dataclass(frozen=True)
class Step:
    """what: was looked at   faults: sentences, none where all is well"""

    what: str
    faults: tuple


def selftest(answers=None, progress=lambda what: None):
    """Every Step, in order. answers: a file with solutions of exercises that the library doesn't answer."""
    yield tree(answers, progress)
    yield planted(progress)
    yield all_right(answers, progress)
    yield a_class(progress)


def tree(answers=None, progress=lambda what: None):
    """The tree of all exercises: complete, every stub fails, every solution passes."""
    exercises = list(registry().values())
    known = load(answers) if answers else {}
    left = [exercise.number for exercise in exercises if student_tree.unanswered(exercise, known)]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder) / "course"
        student_tree.make(folder, exercises, {exercise.chapter for exercise in exercises}, "after-pass")
        faults = student_tree.faults(folder, exercises, answers, progress=lambda: progress("stubs and solutions"))
        faults += [f"{path} is missing" for path in expected_files(folder, exercises) if not path.is_file()]
    unproved = f" ({len(left)} have none in the library, see --answers)" if left else ""
    what = f"{len(exercises)} stubs fail, {len(exercises) - len(left)} solutions pass{unproved}"
    return Step(what, tuple(faults))


def expected_files(folder, exercises):
    chapters = {exercise.chapter for exercise in exercises}
    yield from (folder / "chapters" / "mine" / f"ch{chapter:02}.py" for chapter in chapters)
    yield from (folder / name for name in ("README.md", "tests/test_exercises.py", "chapters/mine/progress.json"))


def planted(progress=lambda what: None):
    """Every mistake that the gradient checker knows is rejected, and called by its name."""
    faults, count = [], 0
    for mistake in mistakes():
        name = mistake.formula if mistake.part == "forward" else f"{mistake.formula}_backward"
        exercise = exercise_of(name)
        if exercise is not None:
            right = {n: textbook_of(source) for n, source in exercise.source.items()}
            verdict = exercise.judge(right | {name: mistake.plant()}, 0)
            count += 1
            if verdict.ok:
                faults.append(f"{exercise.number} takes '{mistake.label}' for right")
            elif mistake.label not in verdict.mistake:
                faults.append(f"{exercise.number} calls '{mistake.label}' '{verdict.mistake}'")
            progress("planted mistakes")
    return Step(f"{count} planted mistakes are rejected, and called by their names", tuple(faults))


def all_right(answers=None, progress=lambda what: None):
    """Who hands in every solution there is gets all points for it: nothing right is taken for cheating."""
    known = load(answers) if answers else {}
    solved = [exercise for exercise in registry().values() if not student_tree.unanswered(exercise, known)]
    files = {Path(answers).name: Path(answers).read_bytes()} if answers else {}
    files |= {f"{exercise.number}.py": student_tree.solution(exercise, known).encode() for exercise in solved}
    judged = judge(Submission("all", files=files), solved, 0, Limits(whole=600.0))
    progress("everything right")
    faults = [f"{mark.number} is {mark.status}: {mark.sentence}" for mark in judged.marks if mark.status != "right"]
    return Step(f"{judged.total:g} points go to whoever hands in {len(solved)} solutions", tuple(faults))


def a_class(progress=lambda what: None):
    """A made class gets the marks that it must get."""
    judged = judge_class(progress)
    made = {one.student: one for one in made_class.CLASS}
    faults = [f"{student} is missing" for student in made.keys() - {one.submission.student for one in judged}]
    for one in judged:
        student = one.submission.student
        faults += [f"{student} {fault}" for fault in differences(made[student], one)]
    return Step(f"a made class of {len(judged)} gets its marks", tuple(faults))


def judge_class(progress=lambda what: None):
    """The Judged of the made class, by name."""
    exercises = [exercise_of(name) for name in made_class.FUNCTIONS]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "class.zip"
        path.write_bytes(made_class.as_zip())
        submissions = read(path)
    timeouts = {made.student: made.timeout for made in made_class.CLASS}
    judged = []
    for timeout in sorted(set(timeouts.values())):
        those = [submission for submission in submissions if timeouts[submission.student] == timeout]
        limits = Limits(timeout, whole=10 * timeout)
        judged += grade(those, exercises, 0, limits, progress=lambda one: progress("a made class"))
    return sorted(judged, key=lambda one: one.submission.student)


def differences(made, one):
    """What is not as it must be with one of the class."""
    statuses, shares = tuple(m.status for m in one.marks), tuple(round(m.score, 3) for m in one.marks)
    if statuses != made.statuses:
        told = " ".join(mark.sentence for mark in one.marks)
        yield f"is judged {', '.join(statuses)}; expected {', '.join(made.statuses)} ({told})"
    elif shares != made.shares:
        yield f"gets {shares}; expected {made.shares}"
    said = " ".join([mark.sentence for mark in one.marks] + one.remarks)
    yield from (f"is not told '{word}'" for word in made.words if word not in said)
