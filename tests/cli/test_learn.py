"""bertnp learn, as a student goes through it, and what may go wrong on the way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import bertnp
from bertnp.cli import learn, own_tour
from bertnp.cli.tour import Settings
from bertnp.functional import softmax_backward
from bertnp.learn import doctor, open_exercises, show
from bertnp.learn.exercises import exercise_of, registry
from bertnp.learn.progress import Progress
from bertnp.learn.stubbing import stub_file

FORWARD, BACKWARD = exercise_of("softmax"), exercise_of("softmax_backward")
CHAPTER = FORWARD.chapter
FILE = f"chapters/mine/ch{CHAPTER:02}.py"
RIGHT = {
    "softmax": "exps = np.exp(x - x.max(axis=-1, keepdims=True)); return exps / exps.sum(axis=-1, keepdims=True)",
    "softmax_backward": "return y * (dy - (dy * y).sum(axis=-1, keepdims=True))",
}
TINY = {
    "stories": 150, "held_out_stories": 20, "dupe_factor": 1, "hidden": 16, "heads": 2, "intermediate": 16,
    "steps": 4, "evaluations": 2, "labels": (4,), "seeds": 1, "test_sentences": 20, "finetune_steps": 2,
    "finetune_epochs": 1,
}  # fmt: skip


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    """A folder with chapters, in which the student is."""
    (tmp_path / "chapters").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BERTNP_PROGRESS", raising=False)
    return tmp_path


def write(name, body):
    """Put a body in the place of a stub's, or of what was put there before."""
    path = Path(FILE)
    head, _, rest = path.read_text(encoding="utf-8").partition(f"def {name}(")
    first, *lines = rest.split("\n")
    end = next(i for i, line in enumerate(lines) if line == '    """' or line.endswith('"""') and i) + 1
    after = next((i for i in range(end, len(lines)) if lines[i] and not lines[i].startswith(" ")), len(lines))
    lines[end:after] = ["    " + body, "", ""]
    path.write_text("\n".join([f"{head}def {name}({first}", *lines]), encoding="utf-8")


def progress():
    return json.loads(Path("chapters/mine/progress.json").read_text(encoding="utf-8"))


@pytest.fixture
def run_tour(run, monkeypatch):
    """A tiny tour on one's own functions: (exit code, standard output, what the process of the tour said)."""

    def run_tour(*arguments):
        settings, tapped = Settings(**TINY), Tapped(subprocess.run)
        with monkeypatch.context() as patch:
            patch.setattr(own_tour, "Settings", lambda: settings)
            patch.setattr(own_tour.subprocess, "run", tapped)
            code, out, err = run("tour", *arguments)
        tapped.err += err
        return code, out, tapped

    return run_tour


class Tapped:
    """subprocess.run, of which is kept what went out."""

    def __init__(self, run):
        self.run, self.out, self.err = run, "", ""

    def __call__(self, *arguments, **options):
        done = self.run(*arguments, **options, capture_output=True, text=True, encoding="utf-8")
        self.out, self.err = done.stdout, done.stderr
        return done


def test_a_student_goes_all_the_way(run, run_tour, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["bertnp"])
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")

    code, out, _ = run("learn")
    assert code == 0 and all(f" {number} " in out for number in registry())
    first = next(iter(registry().values())).chapter
    assert f"0 of {len(registry())} passed" in out and f"Next: chapter {first} (bertnp learn start {first})" in out

    code, out, _ = run("learn", "start", CHAPTER)
    assert code == 0 and f"wrote {FILE}" in out and f"{FORWARD.number}   {FORWARD.title} (" in out
    assert FORWARD.task in " ".join(out.split())
    assert Path(FILE).read_text(encoding="utf-8") == stub_file(CHAPTER)
    assert {"softmax", "softmax_backward"} <= set(progress()["open"]) == open_exercises()
    show(softmax_backward)
    assert "yours to write" in capsys.readouterr().out

    code, out, _ = run("learn", "check", BACKWARD.number)
    line = stub_file(CHAPTER).split("def softmax_backward")[0].count("\n") + 1
    assert code == 1 and f"tested: {FILE}:{line} softmax_backward\n" in out
    assert "softmax_backward is not written yet" in out and f"bertnp learn hint {BACKWARD.number} (3 of 3 left)" in out

    for count, hint in enumerate(BACKWARD.hints, 1):
        code, out, _ = run("learn", "hint", BACKWARD.number)
        assert code == 0 and out == f"Hint {count} of 3 to {BACKWARD.number}: {hint}\n"
        assert progress()["exercises"][BACKWARD.number]["hints"] == count
    _, out, _ = run("learn", "hint", BACKWARD.number)
    assert all(hint in out for hint in BACKWARD.hints) and "--give-up" in out

    write("softmax_backward", "print('so far'); return y * dy")
    code, out, _ = run("learn", "check", BACKWARD.number)
    assert code == 1 and "Your code printed:\nso far" in out
    assert "WRONG" in out and "They share a denominator: subtract y times the sum of dy y" in " ".join(out.split())
    assert not progress()["exercises"][BACKWARD.number]["passed"]

    for name, body in RIGHT.items():
        write(name, body)
        code, out, _ = run("learn", "check", exercise_of(name).number)
        assert code == 0 and f"{exercise_of(name).number} is right" in out and "=> ok" in out
        assert name not in open_exercises() and progress()["exercises"][exercise_of(name).number]["passed"]
    worth = FORWARD.points + BACKWARD.points
    assert f"{worth} of " in run("learn", "list", CHAPTER)[1] and f"2 of {len(registry())} passed" in run("learn")[1]
    show(softmax_backward)
    assert "yours to write" not in capsys.readouterr().out

    code, out, _ = run("learn", "solution", BACKWARD.number)
    assert code == 0 and "return y * (dy - (dy * y).sum(axis=-1, keepdims=True))" in out and "given up" not in out

    own = Path(FILE).read_text(encoding="utf-8")
    code, out, _ = run("learn", "reset", BACKWARD.number)
    assert code == 0 and f"{FILE}.1.bak" in out and Path(f"{FILE}.1.bak").read_text(encoding="utf-8") == own
    assert open_exercises() >= {"softmax_backward"} and not progress()["exercises"][BACKWARD.number]["passed"]
    code, out, _ = run("learn", "check", CHAPTER)
    assert code == 1 and f"{FORWARD.number} is right" in out and f"{BACKWARD.number} is not written yet" in out
    code, out, _ = run("learn", "start", CHAPTER)
    assert code == 0 and "stays as it is" in out
    Path(FILE).write_text(own, encoding="utf-8")
    assert run("learn", "check", BACKWARD.number)[0] == 0

    monkeypatch.setattr(doctor, "SLOW", 100.0)  # whatever else this computer is doing
    monkeypatch.setattr(doctor, "SLOW_PRODUCT", 100.0)
    code, out, err = run("learn", "doctor")
    assert code == 0 and "All is well." in out and "a check takes" in out and "2 passed" in out, out + err
    tested = run_pytest(f"--impl={FILE}")
    assert tested.returncode == 0 and "your functions: softmax, softmax_backward" in tested.stdout, tested.stdout
    assert " 16 passed" in tested.stdout and "failed" not in tested.stdout

    code, out, tapped = run_tour("--impl", "chapters/mine", "-o", "tour", "--quiet")
    assert "Your own functions: softmax, softmax_backward. All else is the library's." in out
    others = [name for name in open_exercises() if name not in RIGHT]
    assert not others or "Not written yet: " in out
    assert "How often the library called your functions: softmax" in tapped.out
    figures = json.loads(Path("tour/tour.json").read_text(encoding="utf-8"))
    assert code == 0 and figures["settings"]["steps"] == 4 and figures["finetuning"]["answers"]


def run_pytest(*options):
    """pytest on the library's own cases of a few formulas, from the root of the project."""
    root = Path(bertnp.__file__).parents[1]
    options = [option.replace("--impl=", f"--impl={Path.cwd()}/") for option in options]
    places = ["tests/functional/test_functional_gradients.py", "tests/functional/test_functional_forward.py"]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", "ex", *options, *places]
    environment = os.environ | {"PYTHONPATH": str(root), "BERTNP_REQUIRE_ORACLES": "0"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, encoding="utf-8")


@pytest.fixture
def started(run):
    run("learn", "start", CHAPTER)
    for name, body in RIGHT.items():
        write(name, body)


# what goes wrong


@pytest.mark.parametrize("arguments, words", [
    (["dance"], "invalid choice: 'dance'"),
    (["start"], "start: expected the number of a chapter or exercise"),
    (["start", "99"], "99: there is nothing to code of that number; there are"),
    (["check", "x"], "expected the number of an exercise, such as 9.2, or of a chapter, such as 9; got 'x'"),
    (["check", "9.2.1"], "got '9.2.1'"),
    (["check", f"{CHAPTER}.99"], f"there are {FORWARD.number}"),
    (["check", FORWARD.number], f"there is no file {FILE}"),
    (["check"], "nothing is started yet"),
    (["check", "--file", "x.py"], "expected the number"),
    (["check", FORWARD.number, "--file", "x.py"], "there is no file x.py"),
    (["check", FORWARD.number, "--timeout", "0"], "expected a number above 0"),
    (["watch", CHAPTER], f"there is no file {FILE}"),
    (["reset", FORWARD.number], f"there is no file {FILE}"),
    (["hint"], "hint: expected the number of an exercise"),
    (["hint", CHAPTER], f"expected one exercise, such as {FORWARD.number}"),
    (["solution", FORWARD.number], "is not passed yet"),
])  # fmt: skip
def test_clear_errors(refused, arguments, words):
    assert words in refused("learn", *arguments).replace(os.sep, "/")
    assert not Path("chapters/mine").exists()


@pytest.mark.parametrize("text, words", [
    ("{", "line 1"),
    ("[]", 'expected JSON with a list "open"'),
    ('{"open": {}}', '"open" is {}'),
    ('{"open": [1]}', '"open" is [1]'),
    ('{"open": [], "exercises": []}', 'expected a table "exercises"'),
    ('{"open": [], "exercises": {"5.1": {"passed": "yes"}}}', "\"passed\" 'yes'; expected passed: bool"),
    ('{"open": [], "exercises": {"5.1": {"points": -1}}}', '"points" -1'),
    ('{"open": [], "exercises": {"5.1": {"points": true}}}', '"points" True'),
    ('{"open": [], "exercises": {"5.1": {"marks": 3}}}', '"marks" 3'),
    ('{"open": [], "exercises": {"5.1": 3}}', "exercise 5.1 has 3"),
])  # fmt: skip
def test_a_broken_progress_file_is_told_of_and_kept(run, refused, text, words):
    path = Path("chapters/mine/progress.json")
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    for arguments in ([], ["start", CHAPTER], ["hint", FORWARD.number]):
        line = refused("learn", *arguments)
        assert words in line and "progress.json: " in line and "mend it, or move it away" in line
    assert path.read_text(encoding="utf-8") == text and not Path(FILE).exists()
    well, found, advice = doctor.progress()
    assert not well and words in found and advice


def test_a_broken_file_of_the_students(run, started):
    Path(FILE).write_text("def softmax(x:\n", encoding="utf-8")
    code, out, _ = run("learn", "check", FORWARD.number)
    assert code == 1 and f"{FILE}:1: '(' was never closed" in out
    code, _, err = run("learn", "start", CHAPTER)
    assert code == 2 and f"{FILE}:1: " in err
    code, _, err = run("learn", "reset", FORWARD.number)
    assert code == 2 and f"{FILE}:1: " in err and not Path(f"{FILE}.1.bak").exists()


def test_giving_up_shows_the_solution_and_costs_the_points(run, started):
    code, out, _ = run("learn", "solution", BACKWARD.number, "--give-up")
    assert code == 0 and "noted as given up" in out and "return y * (dy - " in out
    assert "softmax_backward" not in open_exercises()
    code, out, _ = run("learn", "check", BACKWARD.number)
    assert code == 0 and "no points, since you looked at the solution" in out
    standing = progress()["exercises"][BACKWARD.number]
    assert standing["passed"] and standing["given_up"] and standing["points"] == 0
    assert "passed, given up" in run("learn")[1]
    assert "noted" not in run("learn", "solution", BACKWARD.number)[1]


def test_without_an_answer_in_the_library(run, monkeypatch):
    from bertnp.learn import exercises
    from bertnp.learn.stubbing import stub_of

    functions = ("stub_of",), {"stub_of": stub_of}
    own = exercises.Exercise("99.1", "mine alone", "Write it.", *functions, None, ("a", "b", "c"))
    monkeypatch.setattr("bertnp.cli.learn.registry", lambda: {"99.1": own})
    code, out, _ = run("learn", "solution", "99.1", "--give-up")
    assert code == 0 and "The library has no solution to 99.1; there are hints only" in out
    assert not Progress.here().of(own).given_up


def test_a_check_of_a_chapter_and_of_everything_and_of_another_file(run, started, tmp_path):
    here = [exercise for exercise in registry().values() if exercise.chapter == CHAPTER]
    for arguments in ([CHAPTER], []):
        code, out, _ = run("learn", "check", *arguments)
        assert code == (0 if len(here) == 2 else 1) and all(f"{e.number}  {e.title}\n" in out for e in here)
        assert all(f"{exercise_of(name).number} is right" in out for name in RIGHT)
        assert out.count("is not written yet") == len(here) - 2
        assert f"2 of {len(here)} passed" in out
    Path("elsewhere.py").write_text("import numpy as np\ndef softmax(x):\n    return x\n", encoding="utf-8")
    code, out, _ = run("learn", "check", f"0{FORWARD.number}", "--file", "elsewhere.py")
    assert code == 1 and "tested: elsewhere.py:2 softmax" in out
    assert not progress()["exercises"][FORWARD.number]["passed"]  # the last check counts


def test_watching_checks_after_every_save_until_it_is_interrupted(run, started, monkeypatch):
    Path(FILE).write_text(Path(FILE).read_text(encoding="utf-8").replace("exps = ", "1 / 0; exps = "), encoding="utf-8")
    steps = iter([
        lambda: None,
        lambda: Path(FILE).unlink(),  # some editors do, for a moment
        lambda: Path(FILE).write_text("def softmax(x): pass\n", encoding="utf-8"),
        lambda: None,
    ])  # fmt: skip

    def sleep(seconds):
        step = next(steps, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    monkeypatch.setattr(learn, "sleep", sleep)
    code, out, err = run("learn", "watch", FORWARD.number)
    first, second = out.split("---- ")[1:]
    assert code == 0 and "ZeroDivisionError" in first and "softmax returns None" in second and "longer watched" in err


def test_nothing_is_lost_where_there_is_no_room(run, started, monkeypatch):
    before, own = Path("chapters/mine/progress.json").read_bytes(), Path(FILE).read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    for arguments in (["hint", FORWARD.number], ["check", FORWARD.number], ["reset", CHAPTER]):
        code, _, err = run("learn", *arguments)
        assert code == 2 and "No space left" in err
    assert Path("chapters/mine/progress.json").read_bytes() == before and Path(FILE).read_bytes() == own


@pytest.mark.parametrize("place, expected", [
    (".", "chapters/mine"), ("chapters", "mine"), ("chapters/mine", "."), ("elsewhere", "mine"),
])  # fmt: skip
def test_the_students_folder_is_found_from_where_one_may_be(run, workspace, monkeypatch, place, expected):
    run("learn", "start", CHAPTER)
    (workspace / "elsewhere").mkdir()
    monkeypatch.chdir(workspace / place)
    code, out, _ = run("learn", "start", CHAPTER)
    assert (code, "stays as it is" in out) == (0, place != "elsewhere")
    assert (workspace / place / expected / f"ch{CHAPTER:02}.py").is_file()
    assert open_exercises() >= {"softmax"}


def test_the_doctor_finds_what_is_amiss(run, started, monkeypatch):
    monkeypatch.setattr(doctor, "PYTHON", (9, 9))
    monkeypatch.setattr(doctor, "SLOW_PRODUCT", 100.0)
    monkeypatch.setattr(doctor, "VERSIONS", {"numpy": (99, 0)})
    monkeypatch.setattr(doctor, "judge", lambda *_, **__: ([(FORWARD, learn_verdict("it died"))], ""))
    (Path("chapters") / "ch00_quickstart.py").write_text("# an old one\n", encoding="utf-8")
    values = progress() | {"bertnp": "0.0.1"}
    Path("chapters/mine/progress.json").write_text(json.dumps(values), encoding="utf-8")
    code, out, _ = run("learn", "doctor")
    assert code == 1 and "6 to be seen to" not in out
    for words in ("install Python 9.9", "pip install --upgrade 'numpy>=99.0'", "a check doesn't run: it died",
                  "was written by bertnp 0.0.1", "not as in bertnp", "bertnp chapters init DIR"):  # fmt: skip
        assert words in out, words
    assert "5 to be seen to" in out
    values["exercises"]["77.7"] = {"passed": True}
    Path("chapters/mine/progress.json").write_text(json.dumps(values), encoding="utf-8")
    assert "knows of exercises that are not here: 77.7" in run("learn", "doctor")[1]


def learn_verdict(sentence):
    from bertnp.learn.exercises import Verdict

    return Verdict(False, 0.0, "", sentence, "ends its process")


# the tour on one's own functions


def test_the_tour_refuses_what_is_not_right(run, started, refused):
    write("softmax_backward", "return y * dy")
    line = refused("tour", "--impl", FILE, "-o", "tour")
    assert f"{FILE}: softmax_backward does not pass its check" in line and "They share a denominator" in line
    assert f"learn check {BACKWARD.number}" in line and "--unchecked" in line and not Path("tour").exists()


def test_the_tour_runs_on_what_is_not_right_if_asked_to(run_tour, started):
    write("softmax_backward", "1 / 0")
    code, out, tapped = run_tour("--impl", FILE, "-o", "tour", "--unchecked")
    assert code == 2 and f"{FILE}:" in tapped.err and "1 / 0: ZeroDivisionError: division by zero" in tapped.err
    assert tapped.err.startswith("bertnp: error: ") and tapped.err.count("\n") == 1

    write("softmax_backward", "import os; os._exit(7)")
    code, _, tapped = run_tour("--impl", FILE, "-o", "tour", "--unchecked")
    assert code == 2 and "ended before the tour (exit code 7)" in tapped.err


def test_the_tour_without_a_function_of_berts(refused, started):
    Path("other.py").write_text("def mine(): pass\n", encoding="utf-8")
    assert "writes no function that BERT is made of" in refused("tour", "--impl", "other.py")
    assert "there is no such file" in refused("tour", "--impl", "none.py")
    assert "--unchecked goes with --impl" in refused("tour", "--unchecked")
    Path(FILE).write_text(stub_file(CHAPTER), encoding="utf-8")
    assert "writes no function" in refused("tour", "--impl", "chapters/mine")
