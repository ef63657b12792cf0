"""The chapters as files: where they are, and what their first lines say."""

import importlib.metadata
import re
from dataclasses import dataclass
from pathlib import Path

import bertnp

QUICKSTART = "ch00_quickstart.py"
TITLE = re.compile(r"^# # (\d\d) · (.+?)(?:: (.+))?$", re.M)
NEEDS = re.compile(r"^# Needs: (.+?)\. Runtime: (.+?)\.$", re.M)


@dataclass(frozen=True)
class Chapter:
    """One chapter.

    number: as in its title   path: its file   title, about: what stands before and after the colon there
    needs: the chapters it builds on, as it says itself   runtime: the same, on two cores
    """

    number: int
    path: Path
    title: str
    about: str
    needs: str
    runtime: str

    @classmethod
    def read(cls, path):
        text = path.read_text(encoding="utf-8")
        title, needs = TITLE.search(text), NEEDS.search(text)
        if title is None or needs is None:
            raise ValueError(f'{path}: expected a title "# # NN · Title: about" and a line "# Needs: …. Runtime: …."')
        return cls(int(title[1]), path, title[2], title[3] or "", needs[1], needs[2])


def chapters(folder=None):
    """All chapters in the order of their numbers."""
    return [Chapter.read(path) for path in sorted((folder or chapters_folder()).glob("ch[0-9][0-9]_*.py"))]


def find(number):
    """The chapter with this number. ValueError where there is none."""
    known = {chapter.number: chapter for chapter in chapters()}
    if number not in known:
        raise ValueError(f"there is no chapter {number}; there are {', '.join(map(str, known))}")
    return known[number]


def chapters_folder():
    """The folder of the chapters: beside the package in a checkout, else where the wheel has put them."""
    checkout = Path(bertnp.__file__).parents[1] / "chapters"
    if (checkout / QUICKSTART).is_file():
        return checkout
    try:
        installed = importlib.metadata.files("bertnp") or ()
    except importlib.metadata.PackageNotFoundError:
        installed = ()
    for file in installed:
        if file.name == QUICKSTART:
            return Path(file.locate()).resolve().parent
    raise FileNotFoundError("the chapters are not installed with bertnp; they are in the folder chapters of its source")
