"""A class graded: every submission judged, and the table of marks."""

import csv
import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed

from bertnp.backend.files import atomic_path
from bertnp.learn.exercises import registry
from bertnp.learn.teaching.processes import judge

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")  # with which spreadsheets begin a formula


def grade(submissions, exercises, seed, limits, jobs=None, progress=lambda judged: None):
    """Judge all submissions, several at a time. Returns a Judged for each, in their order.

    The same seed gives the same marks.   exercises: of the registry   jobs: how many at a time; None: one a core
    progress: called with each Judged as it is there
    """
    stopping = threading.Event()
    found = {}
    with ThreadPoolExecutor(jobs or cores()) as pool:
        futures = {
            pool.submit(judge, submission, exercises, seed, limits, stopping): place
            for place, submission in enumerate(submissions)
        }
        try:
            for future in as_completed(futures):
                found[futures[future]] = future.result()
                progress(found[futures[future]])
        except BaseException:
            stopping.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [found[place] for place in range(len(submissions))]


def cores():
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def chosen(chapters=None, numbers=None):
    """The exercises of these chapters and of these numbers, in order; all of them where both are None.

    Raises ValueError for a chapter that has none, or a number that there is none of.
    """
    known = registry()
    found = set(known) if chapters is None and numbers is None else set()
    for chapter in chapters or ():
        inside = {number for number, exercise in known.items() if exercise.chapter == chapter}
        if not inside and len(chapters) == 1:
            there = sorted({exercise.chapter for exercise in known.values()})
            raise ValueError(f"chapter {chapter} has no exercise to code; there are some in {numbers_text(there)}")
        found |= inside
    for number in numbers or ():
        if number not in known:
            raise ValueError(f"there is no exercise {number}; there are {', '.join(known)}")
        found.add(number)
    if not found:
        raise ValueError("none of these chapters has an exercise to code")
    return [exercise for number, exercise in known.items() if number in found]


def numbers_text(numbers):
    return ", ".join(map(str, numbers))


def write_table(path, judged, exercises):
    """Write one row for each student: points for each exercise, their sum, what there was to get, and remarks.

    UTF-8 with a byte order mark, by which spreadsheets know it. No name of a student becomes a formula in one.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["student", "id", *(exercise.number for exercise in exercises), "total", "of", "remarks"])
    most = sum(exercise.points for exercise in exercises)
    for one in judged:
        points = [f"{mark.earned:g}" for mark in one.marks]
        cells = [one.submission.student, one.submission.id, *points, f"{one.total:g}", str(most), "; ".join(notes(one))]
        table.writerow([f"'{cell}" if cell.startswith(FORMULA_SIGNS) else cell for cell in cells])
    with atomic_path(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8-sig", newline="")


def notes(judged):
    """What a teacher should know of a submission: exercises that were refused or stopped, then the other remarks."""
    special = {}
    for mark in judged.marks:
        if mark.status in ("refused", "stopped"):
            special.setdefault(mark.sentence, []).append(mark.number)
    told = [f"{', '.join(numbers)}: {sentence}" for sentence, numbers in special.items()]
    return [" ".join(note.split()) for note in [*told, *judged.remarks]]
