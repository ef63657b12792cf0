"""Writes bertnp/learn/expected.npz: outputs for exercises that the library has no answer for, and of wrong answers.

python tests/learn/make_expected.py
"""

from pathlib import Path

import answers
import numpy as np

import bertnp.learn
from bertnp.gradcheck.recognition import same_numbers
from bertnp.learn.exercises import registry
from bertnp.learn.judges import as_tuple
from bertnp.learn.subjects import EXPECTED, store

PATH = Path(bertnp.learn.__file__).parent / EXPECTED


def subjects():
    """What is judged by stored outputs."""
    return [exercise.judge.subject for exercise in registry().values() if hasattr(exercise.judge, "subject")]


def expected():
    """All arrays by their names."""
    found = {}
    with np.errstate(all="ignore"):
        for subject in subjects():
            if subject.forward is None:
                found |= outputs(subject, subject.name, getattr(answers, subject.name))
            for label in subject.known.get("forward", ()):
                found |= outputs(subject, f"{subject.name}!{label}", answers.WRONG[subject.name][label])
    for_gradients = dict(found)  # a backward's inputs may be stored outputs
    with np.errstate(all="ignore"), subjects_read(for_gradients):
        for subject in subjects():
            name = f"{subject.name}_backward"
            for label in subject.known.get("backward", ()):
                for draw in subject.checked:
                    right = subject.stored_gradients(getattr(answers, name), draw)
                    wrong = subject.stored_gradients(answers.WRONG[name][label], draw)
                    found |= {
                        f"{name}!{label}/{draw}/{key}": np.asarray(value)
                        for key, value in wrong.items()
                        if not same_numbers(value, right[key])
                    }
    return found


def outputs(subject, name, forward):
    found = {}
    for draw in subject.draws:
        values = as_tuple(forward(**subject.arguments(draw)))
        found |= {f"{name}/{draw}/{key}": np.asarray(y) for key, y in zip(subject.outputs, values, strict=True)}
    return found


def subjects_read(arrays):
    """Have subjects take these for the stored ones."""
    from unittest import mock

    return mock.patch("bertnp.learn.subjects.stored", lambda: arrays)


if __name__ == "__main__":
    arrays = expected()
    store(PATH, arrays)
    print(f"{PATH}: {len(arrays)} arrays, {PATH.stat().st_size:,} bytes")
