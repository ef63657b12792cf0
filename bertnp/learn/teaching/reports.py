"""A folder of reports: a page and a results.json for each student, and for the teacher a summary of the class."""

import functools
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import bertnp
from bertnp.backend.files import write_text
from bertnp.learn.teaching import caution
from bertnp.learn.teaching.grading import notes
from bertnp.learn.teaching.mistakes import fingerprint, groups, read_comments, write_comments
from bertnp.learn.teaching.pages import Picture, Points, Table, Text, Title, Verbatim, write_page
from bertnp.learn.teaching.processes import PRINTED

SAID = {
    "right": "right", "partly": "partly right", "wrong": "wrong", "nothing": "not handed in", "stopped": "stopped",
    "refused": "refused",
}  # fmt: skip
IN_PICTURE = {"stopped": "stopped or refused", "refused": "stopped or refused", "nothing": "nothing handed in"}
MOST_NAMES = 12  # of a group, in the table
LONGEST = 36  # characters of a title in the picture


@dataclass(frozen=True)
class Setting:
    """What the grades depend on, for the last line of every page."""

    seed: int
    limits: object

    def said(self, memory_limited):
        memory = f"{self.limits.memory / 2**30:.3g} GB of memory"
        if not memory_limited:
            memory = "no limit of memory, which this system does not have"
        return (
            f"Judged by bertnp {bertnp.__version__} with seed {self.seed}, {self.limits.timeout:g} seconds for each "
            f"exercise, {self.limits.whole:g} for all, {memory}."
        )


def write_reports(folder, judged, exercises, setting, form="md", progress=lambda: None):
    """Write everything into `folder`; form: "md" or "html". Comments that stand in its comments.toml go to the pages.

    progress: called after each student's page. Returns the path of the summary.
    """
    from bertnp.plotting import exercise_results

    comments_file = folder / "comments.toml"
    comments = read_comments(comments_file)
    folder.mkdir(parents=True, exist_ok=True)
    for one in judged:
        own = folder / one.submission.folder
        write_page(own, "report", list(student_page(one, exercises, setting, comments)), form)
        write_text(own / "results.json", json.dumps(gradescope(one, exercises), indent=1, ensure_ascii=False) + "\n")
        progress()
    found = groups(judged)
    write_comments(comments_file, found, comments)
    picture = png(lambda path: exercise_results(results(judged, exercises), path))
    blocks = list(summary(judged, exercises, found, picture, setting))
    write_text(folder / "README.md", readme(form))
    return write_page(folder, "summary", blocks, form)


def student_page(judged, exercises, setting, comments):
    most = sum(exercise.points for exercise in exercises)
    yield Title(judged.submission.student)
    yield Text(f"{judged.total:g} of {most} points")
    rows = [("exercise", "points", "")]
    for exercise, mark in zip(exercises, judged.marks, strict=True):
        rows.append((f"{exercise.number} {exercise.title}", f"{mark.earned:g} of {mark.points}", SAID[mark.status]))
    yield Table(tuple(rows))
    for exercise, mark in zip(exercises, judged.marks, strict=True):
        if mark.status not in ("right", "nothing"):
            yield Title(f"{exercise.number} {exercise.title}: {mark.earned:g} of {mark.points}", 2)
            yield from blocks_of(mark, comments)
    if judged.remarks:
        yield Title("What else there is to say", 2)
        yield Points(tuple(judged.remarks))
    text, count = judged.printed
    if text.strip():
        cut = f", the first {PRINTED:,} characters of {count:,} bytes" if count > len(text.encode()) else ""
        yield Title(f"What the code printed{cut}", 2)
        yield Verbatim(text.rstrip())
    yield Text(setting.said(judged.memory_limited))


def blocks_of(mark, comments):
    """What is said of one exercise."""
    yield Text(mark.sentence)
    comment = comments.get(fingerprint(mark), "").strip()
    if comment:
        yield Text(f"Your teacher: {comment}")
    if mark.text.strip() and mark.text.strip() != mark.sentence:
        yield Verbatim(mark.text.rstrip())
    if mark.rows:
        data = heatmap(mark.title, json.dumps(mark.rows))
        yield Picture(data, f"{mark.number}.png", f"{mark.number}: your gradients, and the expected ones")


@functools.lru_cache(maxsize=256)
def heatmap(title, rows):
    """The picture of a failed check; who has made the same mistake gets the same one."""
    from bertnp.gradcheck.report import Report, Row

    report = Report(title)
    for row in json.loads(rows):
        shape = tuple(row["shape"])
        arrays = {name: np.array(row[name], float).reshape(shape) for name in ("yours", "expected")}
        sizes = {name: np.inf if row[name] is None else row[name] for name in ("error", "allowed")}
        report.rows.append(Row(**row | arrays | sizes | {"shape": shape, "worst": tuple(row["worst"])}))
    return png(report.heatmap)


def png(draw):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        draw(path)
        return path.read_bytes()


def gradescope(judged, exercises):
    """What Gradescope reads as results/results.json of an autograder."""
    tests = [
        {
            "name": f"{exercise.number} {exercise.title}", "number": exercise.number, "score": mark.earned,
            "max_score": mark.points, "status": "passed" if mark.status == "right" else "failed", "output": mark.text,
            "visibility": "visible",
        }
        for exercise, mark in zip(exercises, judged.marks, strict=True)
    ]  # fmt: skip
    return {"score": judged.total, "output": "\n".join(judged.remarks), "tests": tests}


def results(judged, exercises):
    """What became of each exercise, for the picture."""
    found = {}
    for place, exercise in enumerate(exercises):
        marks = [one.marks[place] for one in judged]
        counts = {}
        for mark in marks:
            kind = IN_PICTURE.get(mark.status, mark.status)
            counts[kind] = counts.get(kind, 0) + 1
        share = sum(mark.score for mark in marks) / len(marks)
        title = f"{exercise.number} {exercise.title}"
        found[title if len(title) <= LONGEST else f"{title[: LONGEST - 1]}…"] = (counts, share)
    return found


def summary(judged, exercises, found, picture, setting):
    most = sum(exercise.points for exercise in exercises)
    totals = sorted(one.total for one in judged)
    yield Title("The class")
    yield Text(
        f"{len(judged)} submissions, {len(exercises)} exercises, {most} points. Mean {np.mean(totals):.3g}, median "
        f"{np.median(totals):.3g}, from {totals[0]:g} to {totals[-1]:g}."
    )
    yield Picture(picture, "exercises.png", "what became of each exercise")
    yield Title("The same mistake", 2)
    if found:
        yield Text(
            "Write a comment behind a group's name in comments.toml and grade again: it is put into their pages."
        )
        yield Table((("group", "students", "what is wrong", "who"), *(group_row(group) for group in found)))
    else:
        yield Text("Nobody has made one.")
    seen = [(one.submission.student, note) for one in judged for note in notes(one)]
    if seen:
        yield Title("To look at", 2)
        yield Text("Exercises that were refused or stopped, and files that could not be taken as they were.")
        yield Points(tuple(f"{student}: {note}" for student, note in seen))
    yield Title("Students", 2)
    head = ("student", *(exercise.number for exercise in exercises), f"of {most}")
    yield Table((head, *((o.submission.student, *(f"{m.earned:g}" for m in o.marks), f"{o.total:g}") for o in judged)))
    yield Text(setting.said(all(one.memory_limited for one in judged)))
    yield Text(caution.NO_SANDBOX)
    yield Text(caution.COPIED)


def group_row(group):
    names = [one.submission.student for one in group.students]
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    sentence = group.mark.sentence if len(group.mark.sentence) <= 300 else f"{group.mark.sentence[:299]}…"
    return group.name, str(len(names)), sentence, ", ".join(names[:MOST_NAMES]) + more


def readme(form):
    return f"""\
# Reports

- `summary.{form}`: the class, who has made the same mistake, which exercises were hard
- `comments.toml`: write a comment for a group of the summary, grade again, and it stands in the pages of all concerned
- a folder for each student: `report.{form}` to hand back, and `results.json` as Gradescope reads it

## This is no sandbox

{caution.NO_SANDBOX}

```
{caution.IN_A_CONTAINER}
```

## Answers from the library

{caution.COPIED}
"""
