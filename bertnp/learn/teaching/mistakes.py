"""Who has made the same mistake: a teacher comments once, and everybody concerned reads it."""

import hashlib
import json
import re
import tomllib
from dataclasses import dataclass, field

from bertnp.backend.files import write_text

PLACE = re.compile(r"[\w./-]+\.(?:py|ipynb)(?::\d+|, cell \d+, line \d+)?:?|\bline \d+")
NUMBER = re.compile(r"[+-]?\d+\.\d+(?:e[+-]?\d+)?|[+-]?\d+e[+-]?\d+")
CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
HEAD = """\
# What you write here stands in the page of every student who has made the mistake, once you grade again.
# The names are those of the groups in the summary; the same mistake has the same name each time.
"""


@dataclass
class Group:
    """Students who have made one mistake in one exercise.

    name: as "5.2-3fa9c1", the same for the same mistake   mark: one of theirs, as an example   students: the Judged
    """

    name: str
    mark: object
    students: list = field(default_factory=list)


def fingerprint(mark):
    """A name for a mistake, by its label and the sentence that says what is wrong.

    Files and lines, which differ from student to student, are taken out of the sentence; its numbers, by which
    mistakes that nobody has given a name are told apart, keep three digits.
    """
    sentence = NUMBER.sub(lambda found: f"{float(found[0]):.2e}", PLACE.sub("", mark.sentence))
    what = f"{mark.number}\n{mark.status}\n{mark.mistake}\n{' '.join(sentence.split())}"
    return f"{mark.number}-{hashlib.sha256(what.encode()).hexdigest()[:6]}"


def groups(judged):
    """All groups, by exercise, the largest first."""
    found = {}
    for one in judged:
        for place, mark in enumerate(one.marks):
            if mark.status not in ("right", "nothing"):
                name = fingerprint(mark)
                found.setdefault((place, name), Group(name, mark)).students.append(one)
    order = sorted(found, key=lambda key: (key[0], -len(found[key].students), key[1]))
    return [found[key] for key in order]


def read_comments(path):
    """{group: comment} from a file of `write_comments`; {} where there is none. ValueError where it is broken."""
    if not path.exists():
        return {}
    try:
        comments = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from None
    for name, comment in comments.items():
        if not isinstance(comment, str):
            raise ValueError(f'{path}: {name} is no text; expected a line such as "5.2-3fa9c1" = "a comment"')
    return comments


def write_comments(path, found, comments):
    """Write a line for each group, with the comments there are; those of groups that are gone stay."""
    lines, said = [HEAD], set()
    for group in found:
        said.add(group.name)
        names = ", ".join(one.submission.student for one in group.students)
        heads = (f"{len(group.students)}: {names}"[:200], group.mark.sentence[:300])
        lines += ["", *(f"# {CONTROL.sub(' ', head)}" for head in heads)]
        lines.append(entry(group.name, comments.get(group.name, "")))
    gone = [name for name, comment in comments.items() if name not in said and comment]
    lines += ["", *(entry(name, comments[name]) for name in gone)]
    write_text(path, "\n".join(lines).rstrip("\n") + "\n")


def entry(name, comment):
    return f"{json.dumps(name)} = {json.dumps(comment, ensure_ascii=False)}"  # JSON's strings are TOML's
