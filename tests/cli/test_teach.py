"""bertnp teach."""

import csv
import json

import pytest

from bertnp.learn.exercises import exercise_of
from bertnp.learn.teaching import made_class


@pytest.fixture
def numbers():
    return ",".join(exercise_of(name).number for name in made_class.FUNCTIONS)


@pytest.fixture
def handed_in(tmp_path):
    folder = tmp_path / "handed_in"
    for made in made_class.CLASS[:2]:
        (folder / made.student).mkdir(parents=True)
        for name, text in made.files.items():
            (folder / made.student / name).write_text(text, encoding="utf-8")
    return folder


def test_a_class_is_graded(run, handed_in, tmp_path, numbers):
    code, out, err = run("teach", "grade", handed_in, "--exercises", numbers, "--csv", tmp_path / "grades.csv",
                         "--reports", tmp_path / "reports", "--format", "html", "--jobs", "1",
                         "--memory", "1.5G")  # fmt: skip
    assert code == 0 and err == ""
    assert "2 students, 2 exercises" in out and "summary.html" in out
    with open(tmp_path / "grades.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["student"] for row in rows] == ["Ada Right", "Ben Diagonal"]
    assert rows[0]["total"] == rows[0]["of"] and float(rows[1]["total"]) < float(rows[1]["of"])
    assert "diagonal of the Jacobian" in (tmp_path / "reports/Ben_Diagonal/report.html").read_text(encoding="utf-8")
    assert (tmp_path / "reports" / "README.md").is_file() and not list(tmp_path.rglob("*.tmp"))


def test_one_students_files_for_gradescope(run, handed_in, tmp_path, numbers):
    code, out, _ = run("teach", "grade", handed_in / "Ada Right", "--one", "--exercises", numbers, "--csv",
                       tmp_path / "g.csv", "--gradescope", tmp_path / "results.json")  # fmt: skip
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert code == 0 and [test["status"] for test in results["tests"]] == ["passed", "passed"]
    assert results["score"] == sum(test["max_score"] for test in results["tests"])


@pytest.mark.parametrize(
    "options, said",
    [
        (["--chapters", "5"], "--csv"),
        (["--csv", "g.csv", "--chapters", "9-3"], "expected chapters such as 5, 3-9 or 5,7; got '9-3'"),
        (["--csv", "g.csv", "--chapters", "99"], "chapter 99 has no exercise"),
        (["--csv", "g.csv", "--exercises", "5.99"], "there is no exercise 5.99"),
        (["--csv", "g.csv", "--memory", "2X"], "expected a size such as 512M or 2G, got '2X'"),
        (["--csv", "g.csv", "--memory", "1M"], "at least 256M"),
        (["--csv", "g.csv", "--timeout", "0"], "--timeout"),
        (["--csv", "g.csv", "--seed", "-1"], "--seed"),
        (["--csv", "no/g.csv"], "there is no folder no"),
        (["--csv", "g.csv", "--gradescope", "r.json"], "say --one"),
        (["--csv", "g.csv", "--reports", "handed_in/reports"], "is inside handed_in"),
    ],
)
def test_grading_refuses(refused, handed_in, monkeypatch, options, said):
    monkeypatch.chdir(handed_in.parent)
    assert said in refused("teach", "grade", "handed_in", *options)
    assert [path.name for path in handed_in.parent.iterdir()] == ["handed_in"], "nothing is written"


def test_no_submissions(refused, tmp_path):
    assert "there are no submissions" in refused("teach", "grade", tmp_path, "--csv", tmp_path / "g.csv")
    assert "missing is none" in refused("teach", "grade", tmp_path / "missing", "--csv", tmp_path / "g.csv")


def test_a_course_is_made(run, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("teach", "make", "course", "--chapters", "5", "--solutions", "none")
    assert code == 0 and "every stub fails, every solution passes" in out
    assert (tmp_path / "course" / "chapters" / "mine" / "ch05.py").is_file()
    assert "is there already" in refused("teach", "make", "course")
    monkeypatch.chdir("course")
    number = exercise_of("softmax").number
    assert "this course shows no solutions" in refused("learn", "solution", number, "--give-up")


def test_a_course_whose_proof_fails_is_not_written(refused, tmp_path, monkeypatch):
    from bertnp.learn.teaching import student_tree

    monkeypatch.setattr(student_tree, "faults", lambda *args, **options: ["5.1: no."])
    assert "the proof fails. 5.1: no." in refused("teach", "make", tmp_path / "course", "--chapters", "5")
    assert not (tmp_path / "course").exists()


def test_the_selftest_says_what_is_wrong(run, monkeypatch):
    from bertnp.learn.teaching import selftest

    steps = [selftest.Step("2 stubs fail", ()), selftest.Step("a made class", ("Ada is missing",))]
    monkeypatch.setattr(selftest, "selftest", lambda answers, progress: iter(steps))
    code, out, _ = run("teach", "selftest")
    assert code == 1 and out == "ok     2 stubs fail\nWRONG  a made class\n       Ada is missing\n"
    monkeypatch.setattr(selftest, "selftest", lambda answers, progress: iter(steps[:1]))
    assert run("teach", "selftest")[0] == 0


def test_help(run, refused):
    for action in ("make", "grade", "selftest"):
        assert f"bertnp teach {action}" in run("teach", action, "--help")[1]
    assert "no sandbox" in " ".join(run("teach", "grade", "--help")[1].split())
    assert "podman run" in run("teach", "grade", "--help")[1]
    assert "say what to do" in refused("teach") and "no action 'mark'" in refused("teach", "mark")
