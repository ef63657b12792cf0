"""The made class, its table of marks and its reports."""

import csv
import json
import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bertnp.learn.exercises import exercise_of, registry
from bertnp.learn.stubbing import stub_file
from bertnp.learn.teaching import made_class, processes, student_tree
from bertnp.learn.teaching.grading import chosen, grade, notes, write_table
from bertnp.learn.teaching.mistakes import fingerprint, groups
from bertnp.learn.teaching.processes import Judged, Limits, Mark, judge
from bertnp.learn.teaching.reports import Setting, write_reports
from bertnp.learn.teaching.selftest import differences
from bertnp.learn.teaching.submissions import Submission
from bertnp.learn.teaching.worker import as_json

GOLDEN = Path(__file__).with_name("made_class.csv")
SETTING = Setting(0, Limits())


@pytest.fixture(scope="module")
def exercises():
    return [exercise_of(name) for name in made_class.FUNCTIONS]


def one_file(text, exercises, name="ch05.py", **limits):
    return judge(Submission("ada", files={name: text.encode()}), exercises, 0, Limits(**{"timeout": 5.0} | limits))


def of(graded, student):
    return next(one for one in graded if one.submission.student == student)


@pytest.mark.parametrize("made", made_class.CLASS, ids=lambda made: made.student)
def test_the_made_class_gets_its_marks(graded_class, made):
    assert list(differences(made, of(graded_class, made.student))) == []


def test_the_table_is_the_golden_one(graded_class, exercises, tmp_path):
    """To write it anew: bertnp teach grade on the zip file of made_class.as_zip()."""
    write_table(tmp_path / "grades.csv", graded_class, exercises)
    assert (tmp_path / "grades.csv").read_text(encoding="utf-8-sig") == GOLDEN.read_text(encoding="utf-8-sig")


def test_what_is_printed_is_drained_and_cut(graded_class):
    text, count = of(graded_class, "Una Forged").printed
    assert count >= 3_000_000 and text == "x" * processes.PRINTED


def test_the_same_seed_gives_the_same_everything(exercises):
    """Even where the code draws random numbers, or depends on the order of a set."""
    text = made_class.backward(
        "import random, os", "print(os.getcwd(), random.random(), np.random.rand(), set('abcdefgh'))",
        "return y + np.random.rand()",
    )  # fmt: skip
    first, again = (one_file(text, exercises) for _ in range(2))
    assert first == again and first.printed[1] > 100 and "another gradient" in first.marks[1].sentence


def test_memory_is_limited(exercises):
    text = made_class.backward("global kept", "kept = [np.ones(10**7) for _ in range(100)]", "return y")
    one = one_file(text, exercises, memory=2**30)
    if not one.memory_limited:
        pytest.skip("this system does not limit memory")
    assert one.marks[1].status == "wrong" and "MemoryError" in one.marks[1].sentence


def test_a_submission_has_a_time_for_all(exercises):
    """However long an exercise may take, and although it uses no processor time."""
    start = time.monotonic()
    one = one_file("import time\ntime.sleep(60)\n" + made_class.FORWARD, exercises, timeout=40.0, whole=0.5)
    assert [mark.status for mark in one.marks] == ["stopped", "stopped"] and time.monotonic() - start < 20
    assert "0.5 seconds" in one.marks[1].sentence


def test_the_processes_are_gone_afterwards(exercises, tmp_path):
    pid = tmp_path / "pid"
    text = made_class.backward(
        "import os, time, threading", f"open({str(pid)!r}, 'w').write(str(os.getpid()))",
        "threading.Thread(target=time.sleep, args=(600,)).start()", "time.sleep(600)",
    )  # fmt: skip
    one = one_file(text, exercises, timeout=1.0)
    assert one.marks[1].status == "stopped"
    with pytest.raises(OSError):
        processes.os.kill(int(pid.read_text(encoding="utf-8")), 0)


def test_a_student_sees_nothing_of_the_teachers_environment(exercises, monkeypatch, tmp_path):
    monkeypatch.setenv("TEACHERS_PASSWORD", "1234")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scipy.py").write_text("raise RuntimeError('found')", encoding="utf-8")
    text = made_class.backward(
        "import os, sys, scipy", "print(dict(os.environ), os.getcwd(), sys.path)", "return y"
    )  # fmt: skip
    one = one_file(text, exercises)
    assert one.printed[1] > 0 and "1234" not in one.printed[0] and f"'{tmp_path}'" not in one.printed[0]
    assert "found" not in one.marks[1].sentence


def test_what_students_import_and_show_is_no_offence(exercises):
    """SciPy looks for Cython, matplotlib for the system's fonts; whoever works in a chapter's notebook shows code."""
    text = (
        "import scipy, scipy.linalg, pytest, dataclasses\nimport matplotlib.pyplot as plt\n"
        "from bertnp.functional import gelu\nfrom bertnp.learn import show\nshow(gelu)\n" + made_class.FORWARD
    )
    one = one_file(text + made_class.BACKWARD, exercises, timeout=30.0)
    assert [mark.status for mark in one.marks] == ["right", "right"], one
    (remark,) = one.remarks
    assert "reads activations.py" in remark and "only imports, functions and constants were taken" in remark


def test_a_source_that_is_read_for_good_is_refused(exercises):
    text = "import inspect, bertnp.functional as F\nTEXT = inspect.getsource(F.softmax.textbook)\n" + made_class.FORWARD
    assert [mark.status for mark in one_file(text, exercises).marks] == ["refused", "nothing"]


def test_one_of_two_functions_is_worth_its_share():
    """Whether the other is left as it was handed out, or not there at all."""
    some = [exercise_of("dropout"), exercise_of("layer_norm"), exercise_of("feed_forward")]
    dropout, feed_forward = some[0], some[2]
    text = student_tree.solution(dropout).partition("def dropout_backward")[0]
    text += student_tree.solution(feed_forward).partition("def feed_forward_backward")[0]
    files = {"a.py": stub_file(feed_forward.chapter, [feed_forward]).encode(), "b.py": text.encode()}
    first, other, second = judge(Submission("ada", files=files), some, 0, Limits()).marks
    assert other.status == "nothing"
    for mark, exercise in ((first, dropout), (second, feed_forward)):
        assert (mark.status, mark.score, mark.earned) == ("partly", 0.5, exercise.points / 2), mark
        assert "_backward is not written yet" in mark.sentence


def test_answers_are_json():
    values = {"a": [1, 2.5, -1e-300, None, True, False, "\u00fc\"\n\\ \u2028 \ud800"], "b": {}, "c": [], "1e5": 1e22}
    assert json.loads(as_json(values)) == values


def test_code_that_was_copied_is_remarked_on():
    some = [exercise_of(name) for name in ("layer_norm_backward", "layer_norm", "softmax_backward")]
    copied, renamed, short = map(student_tree.solution, some)
    one = one_file(copied + renamed.replace("inv_std", "scale") + short, some)
    assert [mark.status for mark in one.marks] == ["right"] * 3, "which is no proof"
    assert one.remarks == ["layer_norm_backward is the library's own code, word for word"]


def test_a_failure_of_the_judging_is_no_verdict(exercises, monkeypatch):
    start = "import bertnp.learn.checking; bertnp.learn.checking.check = None; "
    monkeypatch.setattr(processes, "START", processes.START.replace("from bertnp", f"{start}from bertnp"))
    one = one_file(made_class.FORWARD, exercises)
    assert {mark.mistake for mark in one.marks} == {"ends the judging"}
    assert "TypeError" in one.marks[0].sentence


def test_a_worker_that_cannot_start_is_no_students_fault(exercises, monkeypatch):
    monkeypatch.setattr(processes, "START", "raise SystemExit(3)")
    with pytest.raises(RuntimeError, match="could not be started.*exit code 3"):
        one_file(made_class.FORWARD, exercises)


def test_an_error_in_one_place_ends_all(exercises, monkeypatch):
    monkeypatch.setattr(processes, "START", "raise SystemExit(3)")
    submissions = [Submission(str(n), files={"a.py": b"softmax = 1"}) for n in range(4)]
    with pytest.raises(RuntimeError):
        grade(submissions, exercises, 0, Limits(), jobs=2)


def test_remarks_name_an_exercise_once(graded_class):
    assert notes(of(graded_class, "Sia Patch")) == [
        "5.1, 5.2: It changed what judges it, while the file was read: numpy.abs. Nothing judged with that counts."
    ]


def test_no_name_is_a_formula_in_a_spreadsheet(exercises, tmp_path):
    names = ("=1+1", "@x", "-a", 'Ada, "the" first')
    class_ = [
        Judged(Submission(name), [Mark(e.number, e.points, 0.0, "wrong") for e in exercises], [], ("", 0))
        for name in names
    ]
    write_table(tmp_path / "grades.csv", class_, exercises)
    with open(tmp_path / "grades.csv", encoding="utf-8-sig", newline="") as file:
        read = [row["student"] for row in csv.DictReader(file)]
    assert read == ["'=1+1", "'@x", "'-a", 'Ada, "the" first']


def test_chosen_exercises():
    assert chosen() == list(registry().values())
    assert [exercise.number for exercise in chosen(None, ["5.2", "5.1"])] == ["5.1", "5.2"]
    assert {exercise.chapter for exercise in chosen([5, 99])} == {5}
    for asked, said in (
        (([99], None), "chapter 99"),
        ((None, ["5.99"]), "no exercise 5.99"),
        (([98, 99], None), "none of"),
    ):
        with pytest.raises(ValueError, match=said):
            chosen(*asked)


# who has made the same mistake


def test_the_same_mistake_is_one_group(graded_class):
    found = {frozenset(one.submission.student for one in group.students) for group in groups(graded_class)}
    assert frozenset({"Bea Diagonal", "Ben Diagonal"}) in found
    assert frozenset({"Sia Patch", "Tom Patch"}) not in found, "they have changed different things"
    assert not any({"Ada Right", "Lea Empty"} & names for names in found)


def test_a_mistake_is_known_by_what_it_is():
    mark = Mark("5.2", 2, 0.0, "wrong", "a.py:14: x is +0.123456 instead of -1.5e-03 (line 3)")
    same = replace(mark, sentence="work/My file.py:99: x is +0.123457 instead of -1.5e-03 (line 77)")
    assert fingerprint(mark) == fingerprint(replace(same, sentence=same.sentence.replace("My file", "mine")))
    for other in (
        replace(mark, sentence=mark.sentence.replace("0.12", "0.13")), replace(mark, number="5.1"),
        replace(mark, mistake="sign"), replace(mark, sentence="a.py:14: y is +0.123456 instead of -1.5e-03 (line 3)"),
    ):  # fmt: skip
        assert fingerprint(other) != fingerprint(mark)


# reports


@pytest.fixture(scope="module")
def reports(graded_class, exercises, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    write_reports(folder, graded_class, exercises, SETTING)
    return folder


def test_every_student_has_a_page_and_results(reports, graded_class, exercises):
    for one in graded_class:
        page = (reports / one.submission.folder / "report.md").read_text(encoding="utf-8")
        results = json.loads((reports / one.submission.folder / "results.json").read_text(encoding="utf-8"))
        assert page.startswith(f"# {one.submission.student}\n") and f"{one.total:g} of 3 points" in page
        assert results["score"] == one.total == sum(test["score"] for test in results["tests"])
        assert [test["max_score"] for test in results["tests"]] == [exercise.points for exercise in exercises]
        wrong = [mark for mark in one.marks if mark.status not in ("right", "nothing")]
        assert page.count("\n## ") == len(wrong) + bool(one.remarks) + bool(one.printed[0].strip())
        for mark in wrong:
            assert f"## {mark.number}" in page


def test_a_page_says_what_is_wrong_and_shows_it(reports, graded_class):
    folder = reports / of(graded_class, "Ben Diagonal").submission.folder
    page = (folder / "report.md").read_text(encoding="utf-8")
    assert "Only the diagonal of the Jacobian" in page and "tested: ch05.py:9 softmax" in page and "WRONG" in page
    assert "![5.2: your gradients, and the expected ones](5.2.png)" in page
    assert (folder / "5.2.png").read_bytes().startswith(b"\x89PNG")


def test_the_summary_tells_a_teacher_what_to_know(reports):
    page = (reports / "summary.md").read_text(encoding="utf-8")
    assert (
        "Bea Diagonal, Ben Diagonal" in page and "no sandbox" in page and "holds the answers" in " ".join(page.split())
    )
    assert (reports / "exercises.png").read_bytes().startswith(b"\x89PNG")
    readme = (reports / "README.md").read_text(encoding="utf-8")
    assert "no sandbox" in " ".join(readme.split()) and "podman run" in readme and "bwrap" in readme


def test_a_teacher_comments_once(reports, graded_class, exercises, tmp_path):
    text = (reports / "comments.toml").read_text(encoding="utf-8")
    name = fingerprint(of(graded_class, "Ben Diagonal").marks[1])
    kept = text.replace(f'"{name}" = ""', f'"{name}" = "See page 3, \\"there\\"."') + '"5.9-000000" = "of last week"\n'
    assert kept.count("See page 3") == 1
    (tmp_path / "comments.toml").write_text(kept, encoding="utf-8")
    write_reports(tmp_path, graded_class, exercises, SETTING)
    said = [
        p.parent.name
        for p in tmp_path.rglob("report.md")
        if 'Your teacher: See page 3, "there".' in p.read_text(encoding="utf-8")
    ]
    assert sorted(re.sub(r"_\d+", "", folder) for folder in said) == ["Bea_Diagonal", "Ben_Diagonal"]
    again = (tmp_path / "comments.toml").read_text(encoding="utf-8")
    assert "See page 3" in again and "of last week" in again


def test_a_broken_file_of_comments_is_named(graded_class, exercises, tmp_path):
    for text in ("a = ", "a = 1", '"5.1" = [""]'):
        (tmp_path / "comments.toml").write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match="comments.toml: "):
            write_reports(tmp_path, graded_class, exercises, SETTING)


EVIL = "<script>alert(1)</script> ``` ![x](y) | \x1b[31m"


def evil(exercises):
    marks = [Mark(e.number, e.points, 0.0, "wrong", EVIL, EVIL, f"text\n````\n{EVIL}\n") for e in exercises]
    return [Judged(Submission(EVIL, "1"), marks, [EVIL], (EVIL, 9999), memory_limited=False)]


def test_what_students_write_is_text_in_html(exercises, tmp_path):
    path = write_reports(tmp_path, evil(exercises), exercises, SETTING, "html")
    pages = [path, *tmp_path.glob("*/report.html")]
    assert len(pages) == 2
    for page in pages:
        text = page.read_text(encoding="utf-8")
        tags = []
        parser = HTMLParser()
        parser.handle_starttag = lambda tag, attributes, tags=tags: tags.append(tag)
        parser.feed(text)
        assert "script" not in tags and "h1" in tags
        assert "no limit of memory" in text
    assert "data:image/png;base64," in path.read_text(encoding="utf-8")
    assert not list(tmp_path.rglob("*.png")), "a page is one file"


def test_what_students_write_is_text_in_markdown(exercises, tmp_path):
    write_reports(tmp_path, evil(exercises), exercises, SETTING)
    (page,) = tmp_path.glob("*/report.md")
    text = page.read_text(encoding="utf-8")
    outside, fence = "", 0
    for line in text.splitlines():
        ticks = len(line) if line and not line.strip("`") else 0
        if fence and ticks >= fence:
            fence = 0
        elif not fence and ticks >= 3:
            fence = ticks
        elif not fence:
            outside += f"{line}\n"
    assert "\\<script\\>" in outside and not re.search(r"(?<!\\)<script|(?<!\\)`|!\[x", outside)
