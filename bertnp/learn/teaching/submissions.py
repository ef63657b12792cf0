"""What students handed in: a folder or a zip file, in the layouts of Moodle, Canvas, or a folder for each student."""

import os
import re
import stat
import zipfile
import zlib
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path, PurePosixPath

CODE = (".py", ".ipynb")
MOST_BYTES = 20 * 2**20  # of one file; a notebook holds its pictures
MOST_FILES = 200  # of one student
MOODLE = re.compile(r"(?P<student>.+?)_(?P<id>\d+)_assignsubmission_(?:file|onlinetext)_?(?P<file>.*)")
CANVAS = re.compile(r"(?P<student>[^_]+?)(?:_LATE)?_(?P<id>\d+)_\d+_(?P<file>.+)")
UNFIT = re.compile(r'[<>:"|?*\x00-\x1f]')  # in names of files, somewhere
LONGEST_NAME = 100
IGNORED = re.compile(r"\.|__MACOSX$|__pycache__$")  # how names begin that no student has written, and ..


@dataclass
class Submission:
    """The files of one student.

    id: the number that tells students of one name apart, as far as the layout has it   files: name -> bytes, with /
    between folders   remarks: what was handed in and can't be graded
    """

    student: str
    id: str = ""
    files: dict = field(default_factory=dict, repr=False)
    remarks: list = field(default_factory=list)

    @property
    def folder(self):
        """A name for a folder of this student's: nothing in it that a file system could trip over."""
        return re.sub(r"[^\w.-]+", "_", f"{self.student}_{self.id}" if self.id else self.student).strip("._") or "_"

    def add(self, name, data):
        """Take in a file; what is inside a zip file as if it lay beside it; None for data: it is too large."""
        name = "/".join(UNFIT.sub("_", part)[-LONGEST_NAME:] for part in name.split("/"))
        if name.lower().endswith(".zip") and data is not None:
            try:
                for inner, content in from_zip(BytesIO(data), nested=True):
                    self.add(str(inner), content)
            except ValueError as error:
                self.remarks.append(f"{name}: {error}")
        elif not name.lower().endswith((*CODE, ".zip")):
            self.remarks.append(f"{name} is neither .py nor .ipynb and was not looked at")
        elif data is None:
            self.remarks.append(f"{name} is larger than {MOST_BYTES >> 20} MB and was not looked at")
        elif len(self.files) == MOST_FILES:
            self.remarks.append(f"{name} was not looked at: there are more than {MOST_FILES} files")
        else:
            self.files[name if name not in self.files else f"{len(self.files)}_{PurePosixPath(name).name}"] = data


def read(path, one=False):
    """The submissions in a folder or a zip file, by name. one: all of it is one student's.

    Raises ValueError where there is none. Links are not followed, and names that lead out of a zip file are left out.
    """
    path = Path(path)
    if path.is_dir():
        found = from_folder(path)
    elif path.is_file() and path.suffix.lower() == ".zip":
        found = from_zip(path)
    elif path.is_file() and path.suffix.lower() in CODE:
        found = [(PurePosixPath(path.name), limited(path))]
    else:
        raise ValueError(f"expected a folder, a .zip, a .py or an .ipynb with submissions; {path} is none")
    found = sorted(without_common_folder(list(found)), key=lambda entry: natural(str(entry[0])))
    students = {}
    for place, data in found:
        place = PurePosixPath(str(place).encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
        student, number, name = (path.stem, "", str(place)) if one else whose(place, data is FOLDER)
        if student is None or (one and data is FOLDER):
            continue
        submission = students.setdefault((student, number), Submission(student, number))
        if data is not FOLDER:
            submission.add(name, data)
    if not students:
        raise ValueError(f"there are no submissions in {path}")
    return with_names_of_their_own(sorted(students.values(), key=lambda s: (natural(s.student), s.id)))


FOLDER = object()  # in place of a file's bytes: a student's folder, which may be all that there is


def from_folder(root):
    """(place, bytes) of everything below a folder."""
    for folder, folders, names in os.walk(root):
        here = PurePosixPath(Path(folder).relative_to(root).as_posix())
        folders[:] = sorted(
            name for name in folders if not IGNORED.match(name) and not (Path(folder) / name).is_symlink()
        )
        if here == PurePosixPath("."):
            yield from ((here / name, FOLDER) for name in folders)
        for name in sorted(names):
            path = Path(folder) / name
            if not IGNORED.match(name) and stat.S_ISREG(path.lstat().st_mode):
                yield here / name, limited(path) if name.lower().endswith((*CODE, ".zip")) else None


def limited(path):
    return path.read_bytes() if path.stat().st_size <= MOST_BYTES else None


def from_zip(file, nested=False):
    """The same of a zip file. Raises ValueError where it can't be read."""
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist()[: MOST_FILES if nested else None]:
                place = PurePosixPath(member.filename.replace("\\", "/"))
                if any(map(IGNORED.match, place.parts)) or place.is_absolute():
                    continue
                if not member.is_dir():
                    yield place, limited_member(archive, member, nested)
                elif not nested and len(place.parts) == 1:
                    yield place, FOLDER
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"the zip file can't be read ({error})") from error


def limited_member(archive, member, nested):
    if not member.filename.lower().endswith(CODE if nested else (*CODE, ".zip")):
        return None
    with archive.open(member) as file:
        data = file.read(MOST_BYTES + 1)  # what the file says of its size may be a lie
    return data if len(data) <= MOST_BYTES else None


def without_common_folder(found):
    """Leave out a folder that everything lies in, as long as there are folders for the students below it."""
    files = [place for place, data in found if data is not FOLDER]
    if not files or any(len(place.parts) < 3 for place in files) or len({place.parts[0] for place in files}) > 1:
        return found
    return without_common_folder([(PurePosixPath(*place.parts[1:]), d) for place, d in found if len(place.parts) > 1])


def whose(place, is_folder):
    """(student, number, the file's name) by a file's place; None for the student where it is nobody's."""
    first, rest = place.parts[0], "/".join(place.parts[1:])
    moodle = MOODLE.fullmatch(first)
    if moodle:
        return moodle["student"], moodle["id"], rest or moodle["file"]
    if rest or is_folder:
        return first, "", rest
    canvas = CANVAS.fullmatch(first)
    if canvas:
        return canvas["student"], canvas["id"], canvas["file"]
    return place.stem if first.lower().endswith((*CODE, ".zip")) else None, "", first


def natural(text):
    """A key by which file 2 comes before file 10."""
    return [(int(part), "") if part.isdecimal() else (0, part.casefold()) for part in re.split(r"(\d+)", text)]


def with_names_of_their_own(submissions):
    """Let no two students share a folder, not even where capitals make no difference."""
    taken = set()
    for submission in submissions:
        student, count = submission.student, 1
        while submission.folder.casefold() in taken:
            count += 1
            submission.student = f"{student} ({count})"
        taken.add(submission.folder.casefold())
    return submissions
