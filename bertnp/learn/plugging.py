"""Putting a student's functions in the place of the library's, everywhere."""

import contextlib
import sys
from pathlib import Path

from bertnp.backend.formula import FORMULAS, Formula
from bertnp.learn.exercises import exercise_of, registry
from bertnp.learn.loading import here, load
from bertnp.learn.stubbing import written


def own_files(paths):
    """The files that some paths name: themselves, or ch*.py of a folder. ValueError where there are none."""
    files = []
    for path in map(Path, paths):
        found = sorted(path.glob("ch[0-9][0-9]*.py")) if path.is_dir() else [path]
        if not found:
            raise ValueError(f"{path}: there is no file of a chapter, such as ch05.py, in this folder")
        files += found
    return files


def own_functions(paths):
    """({name: function}, names of the unwritten) of all that files, or the files of folders, write for exercises.

    What two files write is taken from the chapter of its exercise. Raises ValueError where that doesn't tell, and
    BrokenFile.
    """
    places, unwritten = own_places(paths)
    loaded = {file: load(file) for file in dict.fromkeys(places.values())}
    return {name: loaded[file][name] for name, file in places.items() if name in loaded[file]}, unwritten


def own_places(paths):
    """As `own_functions`, without running them: ({name: file}, names of the unwritten)."""
    found = {}
    for file in own_files(paths):
        for name, is_written in written(file).items():
            found.setdefault(name, {})[file] = is_written
    places, unwritten = {}, []
    for name, files in found.items():
        file = _file_of(name, list(files))
        if files[file]:
            places[name] = file
        else:
            unwritten.append(name)
    return places, unwritten


def _file_of(name, files):
    chapter = f"ch{exercise_of(name).chapter:02}"
    own = files if len(files) == 1 else [file for file in files if file.stem == chapter]
    if len(own) != 1:
        raise ValueError(f"{name} is written in {' and in '.join(map(here, files))}; hand in one of them")
    return own[0]


def replaceable():
    """{name: the library's function} of all exercises, those without an answer in the library left out."""
    sources = {name: source for exercise in registry().values() for name, source in exercise.source.items()}
    return {name: source for name, source in sources.items() if stands_in_library(name, source)}


def stands_in_library(name, source):
    return source.__name__ == name and not source.__module__.startswith("bertnp.learn.")


@contextlib.contextmanager
def plugged(functions):
    """Inside this block the functions of these names replace the library's; all else stays.

    A formula's kernels are off meanwhile, and those of the formulas that call it. functions: {name: function}, as from
    `load`; names of formulas, or of functions that an exercise is made from. Others are left out. Gives the names.
    """
    known = replaceable()
    with contextlib.ExitStack() as stack:
        replaced = []
        for name, function in functions.items():
            source = FORMULAS.get(name, known.get(name))
            if source is not None:
                stack.enter_context((_formula if isinstance(source, Formula) else _attribute)(source, function))
                replaced.append(name)
        yield replaced


@contextlib.contextmanager
def _formula(source, function):
    before = source.body
    source.replace(function)
    try:
        yield
    finally:
        source.replace(before)


@contextlib.contextmanager
def _attribute(source, function):
    """Replace a plain function, or a method, in every module and class of bertnp that holds it."""
    _swap(source, function)
    try:
        yield
    finally:
        _swap(function, source)  # modules that were imported meanwhile, too


def _swap(old, new):
    for module in [m for name, m in list(sys.modules.items()) if name.partition(".")[0] == "bertnp" and m is not None]:
        holders = [module, *(v for v in vars(module).values() if isinstance(v, type))]
        for holder in holders:
            for name, value in list(vars(holder).items()):
                if value is old:
                    setattr(holder, name, new)
