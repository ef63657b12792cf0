"""An exercise: functions that a student writes, and the judge that tells whether they are right."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Verdict:
    """What a judge found.

    ok: is it solved?   score: which share of what is asked holds, from 0 to 1
    text: the whole report, with the table of the gradient check where there is one
    sentence: what is wrong, in words; "" where nothing is   mistake: a label that is the same for the same mistake
    """

    ok: bool
    score: float
    text: str
    sentence: str = ""
    mistake: str = ""


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

    @property
    def chapter(self):
        return int(self.number.partition(".")[0])
