"""Where the reader stands with the exercises: a small JSON file beside what they write."""

import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import bertnp
from bertnp.backend.files import write_text

FOLDER = "mine"  # beside the chapters
FILE = "progress.json"
SHAPE = 'expected JSON with a list "open" of names of functions'


def own_folder():
    """Where the reader's own files are, or will be: mine, in ./chapters or here, or where BERTNP_PROGRESS lies."""
    named = os.environ.get("BERTNP_PROGRESS")
    if named:
        return Path(named).parent
    if Path.cwd().name == FOLDER and Path(FILE).is_file():
        return Path()
    return Path("chapters", FOLDER) if Path("chapters").is_dir() else Path(FOLDER)


def progress_file():
    """The reader's progress file: BERTNP_PROGRESS, or mine/progress.json in ./chapters or here; None: there is none."""
    named = os.environ.get("BERTNP_PROGRESS")
    places = [Path(named)] if named else [own_folder() / FILE, Path(FOLDER, FILE)]
    return next((path for path in places if path.is_file()), None)


def open_exercises():
    """Names of the functions that the reader is still to write: what the progress file lists as "open"."""
    path = progress_file()
    return frozenset() if path is None else frozenset(Progress.read(path).open)


@dataclass
class Standing:
    """Where the reader stands with one exercise.

    passed: was the last check passed?   points: those it has brought   checks: how often it was checked
    hints: how many were taken   given_up: was the solution looked at before?
    """

    passed: bool = False
    points: int = 0
    checks: int = 0
    hints: int = 0
    given_up: bool = False


@dataclass
class Progress:
    """The progress file: names of the functions still to be written, and where the reader stands, by exercise.

    solutions: "none" or "after-pass" where a course says which solutions its students are shown; else ""
    """

    path: Path
    open: list = field(default_factory=list)
    standings: dict = field(default_factory=dict)
    version: str = bertnp.__version__  # of bertnp, when the file was last written
    solutions: str = ""

    @classmethod
    def here(cls):
        """The reader's own, as far as it is there already."""
        path = progress_file()
        return cls.read(path) if path else cls(Path(os.environ.get("BERTNP_PROGRESS") or own_folder() / FILE))

    @classmethod
    def read(cls, path):
        """Raises ValueError, with the path, for what is no progress file."""
        path = Path(path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found = content["open"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: {SHAPE} ({said(error)}); mend it, or move it away") from error
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            raise ValueError(f'{path}: {SHAPE}, "open" is {found!r}; mend it, or move it away')
        standings = content.get("exercises", {})
        if not isinstance(standings, dict):
            raise ValueError(f'{path}: expected a table "exercises", got {standings!r}; mend it, or move it away')
        standings = {number: standing(path, number, values) for number, values in standings.items()}
        return cls(path, found, standings, str(content.get("bertnp", "")), str(content.get("solutions", "")))

    def of(self, exercise):
        """The Standing of an exercise, to look at."""
        return self.standings.get(exercise.number, Standing())

    def change(self, exercise):
        """The Standing of an exercise, to be changed."""
        return self.standings.setdefault(exercise.number, Standing())

    def start(self, exercise):
        """It is to be done: chapters keep the bodies of its functions to themselves."""
        self.change(exercise)
        self.open += [name for name in exercise.functions if name not in self.open]

    def close(self, exercise):
        self.open = [name for name in self.open if name not in exercise.functions]

    def checked(self, exercise, ok):
        """It was checked. What has been given up brings no points."""
        standing = self.change(exercise)
        standing.checks += 1
        standing.passed = ok
        standing.points = exercise.points if ok and not standing.given_up else 0
        if ok:
            self.close(exercise)

    def save(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        exercises = {number: asdict(standing) for number, standing in self.standings.items()}
        content = {"bertnp": bertnp.__version__, "open": self.open, "exercises": exercises}
        content |= {"solutions": self.solutions} if self.solutions else {}
        write_text(self.path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def standing(path, number, values):
    """A Standing from the file's values. ValueError where they are of another kind."""
    known = {f.name: f.type for f in fields(Standing)}
    for name, value in values.items() if isinstance(values, dict) else [("", values)]:
        if name not in known or type(value) is not known[name] or value < 0:
            what = f'"{name}" {value!r}' if name else repr(values)
            kinds = ", ".join(f"{key}: {kind.__name__}" for key, kind in known.items())
            raise ValueError(f"{path}: exercise {number} has {what}; expected {kinds}; mend it, or move it away")
    return Standing(**values)


def said(error):
    """What is wrong with a file that should be JSON."""
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}: {error.msg}"
    return f"there is no {error}" if isinstance(error, KeyError) else str(error)
