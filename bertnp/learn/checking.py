"""Judging a student's functions, and what is said of those that can't be judged."""

import contextlib
import dataclasses
import functools
import inspect
import linecache
import textwrap

from bertnp.backend.formula import FORMULAS, Formula
from bertnp.learn.exercises import Verdict
from bertnp.learn.guarding import Refused, Watch
from bertnp.learn.loading import here, line_in, said, shown
from bertnp.learn.stubbing import textbook_of


def check(exercise, functions, seed=0):
    """Judge a student's functions for an exercise. Returns a Verdict, whatever they do.

    functions: {name: function}, as from `load`   seed: of the judge's numbers

    The text begins with file and line of what was tested. While a function runs it may not call the library's of the
    same name, import what differentiates, start programs, or read the library's source: see `guarding`.
    """
    for name in exercise.functions:
        if name not in functions:
            sentence = f"There is no function {name}; what is imported from elsewhere doesn't count."
            return failed(exercise, functions, sentence, "missing")
        sentence = other_parameters(exercise, name, functions[name])
        if sentence:
            return failed(exercise, functions, sentence, "parameters")
    mine = {name: Judged(exercise, name, functions[name]) for name in exercise.functions}
    linecache.clearcache()  # so that whoever reads the library's source has to open its file
    try:
        with textbooks(exercise):
            verdict = exercise.judge({name: judged.wrapped for name, judged in mine.items()}, seed)
    except Refused as refused:
        return failed(exercise, functions, refused.sentence, refused.mistake, refused)
    except Exception as error:
        return of_exception(exercise, functions, mine, error)
    for judged in mine.values():
        if judged.watch.offence is not None:  # the student's code, or the judge's, went on after it
            offence = judged.watch.offence
            return failed(exercise, functions, offence.sentence, offence.mistake, offence)
    nothing = without_return(mine)
    if nothing and not verdict.ok:
        return failed(exercise, functions, nothing, "returns None")
    raised = [] if verdict.ok else [judged.raised for judged in mine.values() if judged.raised]
    places = filter(None, (place_of(functions, error) for error in raised))
    mistake = verdict.mistake or (f"raises {type(raised[0]).__name__}" if raised else "")
    text = "\n".join([tested(exercise, functions), verdict.text, *places])
    return dataclasses.replace(verdict, text=text, mistake=mistake)


def of_exception(exercise, functions, mine, error):
    """The verdict where the judge was ended by an exception: a student's own, or over what a student returned."""
    nothing = without_return(mine)
    if nothing:
        return failed(exercise, functions, nothing, "returns None")
    raiser = next((judged.name for judged in mine.values() if judged.raised is error), None)
    if raiser:
        return failed(exercise, functions, f"{raiser} raises {said(error)}.", f"raises {type(error).__name__}", error)
    names = " and ".join(exercise.functions)
    sentence = f"What {names} returned could not be judged: {said(error)}."
    return failed(exercise, functions, sentence, "not to be judged", error)


def without_return(mine):
    """A sentence where a function has never returned anything, else None."""
    names = [judged.name for judged in mine.values() if judged.gave_nothing]
    return f"{names[0]} returns None: is its return missing?" if names else None


def failed(exercise, functions, sentence, mistake, error=None):
    """The verdict that says no more than a sentence, and the line where an exception came from."""
    lines = textwrap.wrap(sentence, 100, initial_indent=" => ", subsequent_indent="    ")
    place = place_of(functions, error) if error is not None else ""
    text = "\n".join(filter(None, [tested(exercise, functions), *lines, place]))
    return Verdict(False, 0.0, text, sentence, mistake)


def tested(exercise, functions):
    """Which functions were tested, and where they stand, a line each."""
    codes = [functions[name].__code__ for name in exercise.functions if name in functions]
    return "\n".join(f"tested: {here(code.co_filename)}:{code.co_firstlineno} {code.co_name}" for code in codes)


def place_of(functions, error):
    """File, line and code of the student's, from where an exception came; "" where it didn't."""
    for file in dict.fromkeys(function.__code__.co_filename for function in functions.values()):
        line = line_in(file, error)
        if line is not None:
            return f"    {shown(file, line)}"
    return ""


def other_parameters(exercise, name, function):
    """What is wrong with a function's parameters, in a sentence, or None: the library calls by name and by place."""
    source = textbook_of(exercise.source[name])
    expected, own = (list(inspect.signature(f).parameters.values()) for f in (source, function))
    same = len(own) >= len(expected) and all(
        (a.name, a.kind) == (b.name, b.kind) for a, b in zip(expected, own, strict=False)
    )
    spare = all(p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in own[len(expected) :])
    optional = all(b.default is not b.empty for a, b in zip(expected, own, strict=False) if a.default is not a.empty)
    if same and spare and optional:
        return None
    own, expected = inspect.signature(function), inspect.signature(source)
    return f"{name} takes {own}, expected {expected}: keep the stub's first line."


@contextlib.contextmanager
def textbooks(exercise):
    """The formulas under test run their textbook bodies, and so do all that call them: no kernel hides a call."""
    functions = [*exercise.source.values(), *exercise.closed.values()]
    formulas = [f for f in dict.fromkeys(functions) if isinstance(f, Formula) and FORMULAS.get(f.name) is f]
    before = [f.body for f in formulas]
    for formula in formulas:
        formula.replace(_again(formula.body))
    try:
        yield
    finally:
        for formula, body in zip(formulas, before, strict=True):
            formula.replace(body)


def _again(body):
    """The same function as another object."""

    @functools.wraps(body)
    def again(*args, **kwargs):
        return body(*args, **kwargs)

    return again


class Judged:
    """A student's function as the judge gets it: watched, and remembering what it did.

    raised: the last exception that came out of it   gave_nothing: has it returned None, and nothing else?
    """

    def __init__(self, exercise, name, function):
        self.exercise, self.name, self.function = exercise, name, function
        self.watch = Watch(function.__code__.co_filename, exercise.source, exercise.closed)
        self.raised, self.inside, self.returned = None, False, set()

        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            return self.call(*args, **kwargs)

        self.wrapped = wrapped

    @property
    def gave_nothing(self):
        return self.returned == {True} and "->" in (textbook_of(self.exercise.source[self.name]).__doc__ or "")

    def call(self, *args, **kwargs):
        if self.inside:
            return self.function(*args, **kwargs)
        self.inside = True
        try:
            with self.watch:
                result = self.function(*args, **kwargs)
        except NotImplementedError as error:
            raise self.refused(f"{self.name} is not written yet.", "unwritten", error) from None
        except SystemExit as error:
            raise self.refused(f"{self.name} ends the program (sys.exit).", "exits", error) from None
        except Exception as error:
            self.raised = error
            raise
        finally:
            self.inside = False
        self.returned.add(result is None)
        return result

    def refused(self, sentence, mistake, error):
        """Ends the judging: no checker that lets exceptions pass goes on after it."""
        return Refused(sentence, mistake).with_traceback(error.__traceback__)
