"""The process in which one student's code is run and judged.

It gets its orders as JSON from standard input and answers on what was its standard output: lines of JSON, each behind a
secret that came with the orders. What the student's code prints goes elsewhere, and no exit code says
anything: an exercise counts when its verdict has arrived.

Modules of the library and of NumPy are loaded before the student's code runs, and compared with what they were after it
has. The code that compares and answers is out of its reach, as far as that can be: whoever imports it gets another copy
of it, and answers are written without anything that it could replace.
"""

import ast
import faulthandler
import gc
import json
import math
import os
import random
import re
import sys
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path

import numpy as np

import bertnp.learn.teaching
from bertnp.learn.checking import check, failed
from bertnp.learn.exercises import registry
from bertnp.learn.guarding import Watch
from bertnp.learn.loading import BrokenFile, load
from bertnp.learn.stubbing import TO_WRITE, stub_file, textbook_of
from bertnp.learn.teaching.notebooks import as_python, definitions, place
from bertnp.learn.teaching.student_tree import body_of, in_library
from bertnp.learn.teaching.untouched import Untouched

PRIVATE = ("worker", "untouched")  # modules of this folder that the student's code does not get to see
MOST_TEXT = 20_000  # characters of a verdict
MOST_TENSORS = 4  # whose numbers are handed on, to be drawn
MOST_NUMBERS = 4096  # of each
FILES = 64 * 2**20  # bytes that a student's code may write
LONG = 4  # statements of a function that two people would hardly write the same
ODD = frozenset(  # names that lead into the judge or to the library's code, and that no exercise needs
    "__code__ __globals__ __closure__ __builtins__ __import__ _getframe currentframe f_back f_locals f_globals "
    "tb_frame getsource getsourcelines textbook kernels import_module reload marshal gc setattr exec eval".split()
)
ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")
WHOLE_FILE = ("foreign library", "syntax error")  # with these, not even a part of a file is taken


def main():
    order = json.loads(sys.stdin.buffer.readline())
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # prints go with the error messages
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    secret = order.pop("secret").encode()

    trace = open(order["trace"], "wb")

    def say(event, **what):
        if event in ("reading", "begin"):  # shortly before the time is up, write down where the code is
            faulthandler.dump_traceback_later(0.9 * order["timeout"], file=trace)
        channel.write(secret + as_json({"event": event} | what).encode() + b"\n")
        channel.flush()

    try:
        Worker(order, say).run()
    except Exception as error:  # of the judging, unless the student's code has brought it about
        say("failed", text=f"{type(error).__name__}: {error}")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # not held up by threads that the student's code has started


def as_json(value, type=type):
    """JSON of dictionaries, lists, texts, numbers and None; json.dumps is a function that can be replaced."""
    kind = type(value)
    if kind is dict:
        return "{" + ",".join([f"{quoted(name)}:{as_json(part)}" for name, part in value.items()]) + "}"
    if kind is list:
        return "[" + ",".join([as_json(part) for part in value]) + "]"
    if kind is str:
        return quoted(value)
    return {None: "null", True: "true", False: "false"}[value] if value is None or kind is bool else f"{value!r}"


class Worker:
    """One round: read the files, judge the exercises that are still open."""

    def __init__(self, order, say):
        self.order, self.say = order, say
        self.exercises = [registry()[number] for number in order["exercises"]]
        self.wanted = {name for exercise in self.exercises for name in exercise.functions}
        self.functions, self.texts, self.broken = {}, {}, {}
        for name in PRIVATE:
            del sys.modules[f"bertnp.learn.teaching.{name}"]
            delattr(bertnp.learn.teaching, name)
        with Watch(__file__):  # it installs itself, once
            self.untouched = Untouched()
        gc.freeze()  # all of this stays: no need to look through it again and again

    def run(self):
        self.say("ready", memory=limit(self.order["memory"], self.order["processor"]))
        for name in self.order["files"]:
            self.read(name)
        changed = self.untouched.changes()
        for copied in self.copied():
            self.say("remark", text=f"{copied} is the library's own code, word for word")
        for exercise in self.exercises:
            self.say("begin", exercise=exercise.number)
            if not changed:
                verdict = self.judge(exercise)
                changed_now = self.untouched.changes()
            if changed or changed_now:
                self.say("changed", exercise=exercise.number, names=changed or changed_now, reading=bool(changed))
                if not changed:
                    return  # what comes is judged in a process in which nothing is changed
            else:
                self.say("verdict", exercise=exercise.number, **self.answer(verdict))
        self.say("done")

    def read(self, name):
        """Take in the functions that are wanted of a file; of two of one name the first that is written."""
        path = Path(name)
        try:
            text, remarks = as_python(name, path.read_bytes())
        except OSError:
            return self.say("remark", text=f"{name} has a name that this system does not take")
        except ValueError as error:
            return self.say("remark", text=f"{name}: {error}")
        for remark in remarks:
            self.say("remark", text=remark)
        named = {wanted for wanted in self.wanted if re.search(rf"\b{wanted}\b", text)}
        self.texts[name] = text
        path.write_text(text, encoding="utf-8", newline="\n")
        if not named:
            return None  # it may be imported by another
        self.say("reading", file=name)
        trouble = self.order["trouble"].get(name)  # what happened in the process before this one
        odd = ", ".join(sorted(ODD & names_in(text)))
        if odd:
            self.say("remark", text=f"{name} uses {odd}, which no exercise needs")
        try:
            if trouble is None:
                return self.take(name, load(path))
        except BrokenFile as error:
            trouble = self.placed(str(error))
            if error.mistake in WHOLE_FILE:
                return self.give_up(name, named, trouble, error.mistake)
        try:
            path.write_text(definitions(text), encoding="utf-8", newline="\n")
            self.take(name, load(path))
            self.say("remark", text=f"{trouble}; of {name} only imports, functions and constants were taken")
        except BrokenFile as error:
            self.give_up(name, named, self.placed(str(error)), error.mistake)
        except SyntaxError:
            self.give_up(name, named, trouble, "syntax error")

    def give_up(self, name, named, trouble, mistake):
        self.say("remark", text=trouble)
        for function in named:
            self.broken.setdefault(function, (trouble, mistake))

    def take(self, name, found):
        for key in self.wanted & found.keys():
            known = self.functions.get(key)
            if known is None or (is_unwritten(known) and not is_unwritten(found[key])):
                self.functions[key] = found[key]
            elif not is_unwritten(found[key]):
                used = Path(known.__code__.co_filename).name
                self.say("remark", text=f"{key} is written in {used} and in {name}; the first was judged")

    def copied(self):
        """Names of functions that are the library's code and longer than anybody would write the same by chance."""
        for exercise in self.exercises:
            for name, source in exercise.source.items():
                function = self.functions.get(name)
                if function is not None and in_library(source):
                    text = self.texts.get(os.path.relpath(function.__code__.co_filename).replace(os.sep, "/"), "")
                    mine = next((n for n in ast.parse(text).body if getattr(n, "name", None) == name), None)
                    own = ast.parse(body_of(textbook_of(source))).body[0]
                    if mine is not None and wording(mine) == wording(own) and len(wording(own)) >= LONG:
                        yield name

    def judge(self, exercise):
        for name in exercise.functions:
            if name not in self.functions and name in self.broken:
                return failed(exercise, self.functions, *self.broken[name])
        functions = self.functions
        if any(name in functions for name in exercise.functions):
            functions = stubs(exercise) | functions  # what is there counts, even if not all of it is
        random.seed(self.order["seed"])
        np.random.seed(self.order["seed"])
        try:
            return check(exercise, functions, self.order["seed"])
        except BaseException as error:  # Ctrl-C raised by hand, and whatever else is no Exception
            sentence = f"It ended the judging: {type(error).__name__}."
            return failed(exercise, self.functions, sentence, "ends the judging")

    def answer(self, verdict):
        score = float(verdict.score)
        rows = getattr(verdict.report, "rows", ()) if not verdict.ok else ()
        return {
            "ok": bool(verdict.ok),
            "score": min(max(score, 0.0), 1.0) if math.isfinite(score) else 0.0,
            "text": self.placed(verdict.text),
            "sentence": self.placed(verdict.sentence),
            "mistake": plain(verdict.mistake),
            "title": plain(getattr(verdict.report, "title", "")),
            "rows": [row_as_json(row) for row in drawable(rows)],
        }

    def placed(self, text):
        """A text with places in notebooks by cell, and without what differs from run to run."""
        text = ADDRESS.sub("0x…", plain(text).replace(f"{os.getcwd()}{os.sep}", ""))
        for name, code in self.texts.items():
            if name.lower().endswith(".ipynb"):
                lines = rf"{re.escape(name)}:(\d+)"
                text = re.sub(lines, lambda found, name=name, code=code: place(name, code, int(found[1])), text)
        return text


def plain(text):
    """A text of Python's own type, and not too long."""
    return str.encode(text, "utf-8", "replace").decode("utf-8")[:MOST_TEXT]


def names_in(text):
    """All names and attributes that a file reads, sets or imports; none of one that is no Python."""
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    names = {getattr(node, "id", getattr(node, "attr", None)) for node in nodes}
    return names | {part for node in nodes if isinstance(node, ast.alias) for part in node.name.split(".")}


def wording(function):
    """A function's statements without its docstring and comments."""
    first = 1 if ast.get_docstring(function) else 0
    return [ast.dump(statement) for statement in function.body[first:]]


def stubs(exercise):
    """{name: function} of an exercise as it was handed out."""
    scope = {}
    exec(compile(stub_file(exercise.chapter, [exercise]), "not handed in", "exec"), scope)
    return {name: scope[name] for name in exercise.functions}


def is_unwritten(function):
    """Is this a stub as it was handed out?"""
    return any(isinstance(value, str) and value.endswith(f": {TO_WRITE}") for value in function.__code__.co_consts)


def drawable(rows):
    wrong_first = sorted(rows, key=lambda row: row.verdict != "WRONG")
    fit = [r for r in wrong_first if r.checked and 0 < r.size <= MOST_NUMBERS and r.yours.dtype.kind == "f"]
    return fit[:MOST_TENSORS]


def row_as_json(row):
    told = {name: plain(getattr(row, name)) for name in ("case", "name", "verdict")}
    places = {"checked": int(row.checked), "shape": [int(n) for n in row.shape], "worst": [int(i) for i in row.worst]}
    sizes = {"error": number(row.error), "allowed": number(row.allowed)}
    return told | places | sizes | {"yours": numbers(row.yours), "expected": numbers(row.expected)}


def numbers(array):
    return [number(value) for value in np.asarray(array, float).ravel()]


def number(value):
    """A float, or None for what JSON doesn't know."""
    return float(value) if math.isfinite(value) else None


def limit(memory, processor):
    """Let this process have so many bytes and seconds of processor time. Returns whether the first holds here."""
    try:
        import resource
    except ImportError:  # Windows
        return False
    for kind, soft in (
        (resource.RLIMIT_CPU, processor), (resource.RLIMIT_FSIZE, FILES), (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, memory),
    ):  # fmt: skip
        hard = resource.getrlimit(kind)[1]
        try:
            resource.setrlimit(kind, (soft, soft) if hard == resource.RLIM_INFINITY else (min(soft, hard), hard))
        except (ValueError, OSError):
            if kind == resource.RLIMIT_AS:
                return False
    return sys.platform != "darwin"  # where the system takes the limit and doesn't hold it
