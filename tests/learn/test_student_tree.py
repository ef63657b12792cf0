"""What a class gets, and the proof that it holds."""

import dataclasses
import runpy
from pathlib import Path

import numpy as np
import pytest

from bertnp.gradcheck import mistakes
from bertnp.learn.exercises import Verdict, registry
from bertnp.learn.progress import Progress
from bertnp.learn.teaching import selftest, student_tree

ANSWERS = Path(__file__).with_name("answers.py")


@pytest.fixture(scope="module")
def exercises():
    return [exercise for exercise in registry().values() if exercise.chapter == 5]


@pytest.fixture
def course(tmp_path, exercises):
    student_tree.make(tmp_path / "course", exercises, {4, 5}, "none")
    return tmp_path / "course"


def test_a_tree_has_all_that_a_student_needs(course, exercises):
    names = {path.relative_to(course).as_posix() for path in course.rglob("*") if path.is_file()}
    assert names == {
        "README.md", "tests/test_exercises.py", "chapters/mine/ch05.py", "chapters/mine/progress.json",
        "chapters/ch04_embeddings.py", "chapters/ch05_softmax_and_cross_entropy.py",
    }  # fmt: skip
    progress = Progress.read(course / "chapters" / "mine" / "progress.json")
    assert progress.solutions == "none" and progress.open == [name for e in exercises for name in e.functions]
    readme = (course / "README.md").read_text(encoding="utf-8")
    assert "therefore holds the answers" in readme and "pip install bertnp==" in readme and "learn check 5.1" in readme
    for exercise in exercises:
        assert f"| {exercise.number} {exercise.title} | {exercise.points} |" in readme


def test_a_folder_that_is_there_stays(tmp_path, exercises):
    (tmp_path / "mine.txt").write_text("kept", encoding="utf-8")
    with pytest.raises(ValueError, match="is there already"):
        student_tree.make(tmp_path, exercises, {5}, "none")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_its_tests_fail_and_pass(course, exercises):
    path = course / "chapters" / "mine" / "ch05.py"
    softmax = next(exercise for exercise in exercises if "softmax" in exercise.functions)
    path.write_text(
        student_tree.solution(softmax) + path.read_text(encoding="utf-8").replace("def softmax(", "def _("),
        encoding="utf-8",
    )
    test = runpy.run_path(str(course / "tests" / "test_exercises.py"))["test_exercise"]
    test(softmax.number)
    with pytest.raises(AssertionError, match="is not written yet"):
        test(exercises[-1].number)


def test_the_proof_finds_what_is_wrong(course, exercises):
    assert student_tree.faults(course, exercises) == []
    path = course / "chapters" / "mine" / "ch05.py"
    stubs = path.read_text(encoding="utf-8")
    backward = next(exercise for exercise in exercises if "softmax_backward" in exercise.functions)
    path.write_text(
        stubs.replace("def softmax_backward(", "def _(") + "\n\n" + student_tree.solution(backward), encoding="utf-8"
    )
    faults = student_tree.faults(course, exercises)
    assert f"{backward.number}: its stub gives no fault, expected: not written yet" in faults
    assert any("holds a line of its solution" in fault for fault in faults)
    path.write_text(stubs, encoding="utf-8")

    def judge(functions, seed):
        functions["softmax_backward"](1.0, np.ones(3))
        return Verdict(False, 0.0, "", "Never.")

    strict = dataclasses.replace(backward, judge=judge)
    assert student_tree.faults(course, [strict]) == [f"{backward.number}: its solution is refused: Never."]


def test_every_mistake_is_planted_and_a_judge_that_takes_all_is_found(monkeypatch):
    step = selftest.planted()
    assert step.faults == ()
    count = int(step.what.split()[0])
    known = {name for exercise in registry().values() for name in exercise.functions}
    assert count == sum((m.formula if m.part == "forward" else f"{m.formula}_backward") in known for m in mistakes())
    kind = {
        e.number: dataclasses.replace(e, judge=lambda functions, seed: Verdict(True, 1.0, ""))
        for e in registry().values()
    }
    monkeypatch.setattr(
        selftest, "exercise_of", lambda name: next((e for e in kind.values() if name in e.functions), None)
    )
    assert len(selftest.planted().faults) == count


def test_a_class_that_gets_other_marks_is_found(monkeypatch, graded_class):
    monkeypatch.setattr(selftest, "judge_class", lambda progress: graded_class)
    assert selftest.a_class().faults == ()
    other = [dataclasses.replace(one, marks=graded_class[0].marks, remarks=[]) for one in graded_class]
    monkeypatch.setattr(selftest, "judge_class", lambda progress: other)
    faults = " ".join(selftest.a_class().faults)
    assert (
        "Ben Diagonal is judged right, right; expected right, wrong" in faults and "Ola Encoding is not told" in faults
    )


def test_all_solutions_get_all_points():
    """As files that are handed in, judged like those of any student: no exercise takes what is right for cheating."""
    step = selftest.all_right(ANSWERS)
    points = sum(exercise.points for exercise in registry().values())
    assert step == selftest.Step(f"{points} points go to whoever hands in {len(registry())} solutions", ())


def test_the_tree_of_the_exercises_of_two_chapters(monkeypatch):
    some = {number: exercise for number, exercise in registry().items() if exercise.chapter in (5, 6)}
    monkeypatch.setattr(selftest, "registry", lambda: some)
    step = selftest.tree(ANSWERS)
    assert step == selftest.Step(f"{len(some)} stubs fail, {len(some)} solutions pass", ())
    monkeypatch.setattr(student_tree, "stub_file", lambda chapter, exercises: "")
    assert len(selftest.tree(ANSWERS).faults) == len(some)
