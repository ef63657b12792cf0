"""An exercise: functions that a student writes, and the judge that tells whether they are right."""

import functools
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Verdict:
    """What a judge found.

    ok: is it solved?   score: which share of what is asked holds, from 0 to 1
    text: the whole report, with the table of the gradient check where there is one
    sentence: what is wrong, in words; "" where nothing is   mistake: a label that is the same for the same mistake
    report: the Report of bertnp.gradcheck that says so, if there is one: what is wrong can be drawn
    """

    ok: bool
    score: float
    text: str
    sentence: str = ""
    mistake: str = ""
    report: object = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    number: chapter and place, "9.2", as in the chapter's text   title: a few words   task: what to do, in a sentence
    functions: names of what the student writes, in the order of the stub
    source: name -> the library's function that the stub is made from, or a function of bertnp.learn.stubs, which has
        no body: there is no answer in the library then
    judge: called with {name: the student's function} and a seed, returns a Verdict; it may let the student's
        exceptions pass
    hints: three, each says more than the one before   points: what a solution is worth
    needs: numbers of exercises that should be done before
    closed: name -> other functions of the library that would do the work, and must not be called either
    """

    number: str
    title: str
    task: str
    functions: tuple[str, ...]
    source: dict = field(repr=False)
    judge: Callable = field(repr=False)
    hints: tuple[str, str, str] = field(repr=False)
    points: int = 1
    needs: tuple[str, ...] = ()
    closed: dict = field(default_factory=dict, repr=False)

    @property
    def chapter(self):
        return int(self.number.partition(".")[0])

    @property
    def place(self):
        """Chapter and place as numbers: 9.10 comes after 9.2."""
        return tuple(map(int, self.number.split(".")))


@functools.cache
def registry():
    """{number: Exercise}, all of them in order: the lists EXERCISES of the modules of bertnp.learn.registry.

    ValueError where two have one number, or write a function of one name: a student's files are read by names.
    """
    from bertnp.learn import registry as package

    found = {}
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        for exercise in importlib.import_module(module.name).EXERCISES:
            if exercise.number in found:
                raise ValueError(f"there are two exercises {exercise.number}: {module.name} has the second")
            found[exercise.number] = exercise
    writers = {}
    for exercise in found.values():
        for name in exercise.functions:
            if writers.setdefault(name, exercise) is not exercise:
                raise ValueError(f"exercises {writers[name].number} and {exercise.number} both ask for {name}")
    return dict(sorted(found.items(), key=lambda item: item[1].place))


def exercise_of(function):
    """The exercise that asks for the function of this name, or None."""
    return next((exercise for exercise in registry().values() if function in exercise.functions), None)
