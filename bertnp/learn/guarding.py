"""What a student's code must not do while it is judged: take the answer from where it stands.

This finds shortcuts and tells of them; it is no sandbox, and stops nobody who means harm.
"""

import ast
import sys
from pathlib import Path

import bertnp
from bertnp.backend.formula import Formula

FOREIGN = frozenset(
    "torch torchvision jax jaxlib flax optax tensorflow keras autograd tinygrad mxnet paddle theano aesara pytensor "
    "casadi transformers tokenizers onnx onnxruntime cupy cffi cython numba pythran".split()
)  # they differentiate, or hold what is to be written, or are no NumPy
PROCESSES = frozenset("subprocess multiprocessing ctypes socket".split())  # Python's own, imported long before
STARTS = frozenset(
    "subprocess.Popen os.system os.exec os.fork os.forkpty os.posix_spawn os.spawn os.startfile "
    "socket.connect socket.bind socket.getaddrinfo".split()
)  # what an audit event of these names begins
SWITCHES = frozenset("sys.setprofile sys.settrace sys.addaudithook".split())
READERS = ("<frozen importlib._bootstrap>", "warnings.py", "traceback.py")  # they read a library's files by rights
LOADERS = ("numpy", "scipy", "matplotlib")  # they look for other libraries and programs
BETWEEN = ("bertnp", "importlib", "_frozen_importlib", "_frozen_importlib_external", "subprocess")
PACKAGE = Path(bertnp.__file__).resolve().parent
CHAPTERS = PACKAGE.parent / "chapters"
BESIDE = (CHAPTERS, PACKAGE.parent / "tests") if (CHAPTERS / "ch00_quickstart.py").is_file() else ()  # in a checkout

_watch = None  # the Watch that is on, or None


class Refused(BaseException):
    """A student's code does what it must not; no `except Exception` of its own holds this up."""

    def __init__(self, sentence, mistake):
        super().__init__(sentence)
        self.sentence, self.mistake = sentence, mistake


def forbidden_imports(tree):
    """(line, module) of the imports in a parsed file that are refused."""
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        for name in names:
            if name.partition(".")[0] in FOREIGN | PROCESSES:
                yield node.lineno, name


def codes_of(source):
    """The code objects in which a function of the library, its textbook and its kernels, does its work."""
    functions = [source]
    if isinstance(source, Formula):
        functions = [source.textbook, *(function for function, _ in source.kernels.values())]
    return {function.__code__ for function in functions if hasattr(function, "__code__")}


class Watch:
    """Watches a student's code while `with watch:` lasts; raises Refused, and remembers it as `offence`.

    file: the student's file   forbidden: {name: the library's function that is to be written}
    closed: {name: a function of the library that would do the work}
    """

    def __init__(self, file, forbidden=None, closed=None):
        self.file, self.offence = str(file), None
        self.codes = {}
        reasons = (closed, "would do the work for you"), (forbidden, "is the function you are to write")
        for functions, reason in reasons:
            for name, source in (functions or {}).items():
                said = f"You called {name} of the library, which {reason}."
                self.codes |= dict.fromkeys(map(id, codes_of(source)), said)  # equal code may be the student's own
        self.called = self._called  # one object, so that it can be known again

    def __enter__(self):
        global _watch
        _install()
        self.hidden = hidden_modules()
        self.before = sys.getprofile()
        if self.codes:
            sys.setprofile(self.called)
        self.outer, _watch = _watch, self
        return self

    def __exit__(self, *_):
        global _watch
        _watch = self.outer
        if self.codes:
            sys.setprofile(self.before)
        sys.modules.update(self.hidden)

    def _called(self, frame, event, _):
        if event == "call" and id(frame.f_code) in self.codes:
            self.refuse(self.codes[id(frame.f_code)], "calls the library")

    def refuse(self, sentence, mistake):
        self.offence = Refused(sentence, mistake)
        raise self.offence

    def audit(self, event, arguments):
        if self.offence is not None:  # Python itself switches a profile function off that has raised
            return
        if event in STARTS and not loads_by_rights():
            what = "uses the network" if event.startswith("socket") else "starts another program"
            self.refuse(f"It {what} ({event}); an exercise is done in its own file.", "leaves its process")
        elif event in SWITCHES:
            self.refuse(f"It calls {event}, with which the check watches it.", "switches the check off")
        elif event == "open" and self.is_answer(arguments[0]) and not self.reads_by_rights(arguments[0]):
            self.refuse(f"It reads {Path(arguments[0]).name}, where the answer stands.", "reads the answer")

    def imports(self, name):
        if name.partition(".")[0] in FOREIGN and self.offence is None and not loads_by_rights():
            self.refuse(f"It imports {name}; an exercise is done with NumPy alone.", "foreign library")

    def is_answer(self, file):
        """Whether a file is code of the package, the chapters or the tests, and not the student's own."""
        if not isinstance(file, str) or not file.endswith((".py", ".pyc", ".ipynb")):
            return False
        path, own = Path(file).resolve(), Path(self.file)
        if path == own or own.parent in path.parents and own.parent not in BESIDE:
            return False
        return any(folder in path.parents for folder in (PACKAGE, *BESIDE))

    def reads_by_rights(self, file):
        """Whether a module of the package is being imported, or a warning shown, rather than a file read."""
        rights = READERS if PACKAGE in Path(file).resolve().parents else READERS[1:]
        frame = sys._getframe(2)
        while frame is not None and frame.f_code.co_filename != self.file:
            if frame.f_code.co_filename.endswith(rights):
                return True
            frame = frame.f_back
        return False


def hidden_modules():
    """Take foreign libraries that are loaded already out of sys.modules, where an import would find them unnoticed."""
    roots = FOREIGN & sys.modules.keys()
    names = [name for name in sys.modules if name.partition(".")[0] in roots] if roots else []
    return {name: sys.modules.pop(name) for name in names}


def loads_by_rights():
    """Whether SciPy looks for a library, or matplotlib for the system's fonts, rather than the student's code."""
    frame = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in BETWEEN:
        frame = frame.f_back
    return frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in LOADERS


def _install():
    """Listen to what Python tells of itself; for good, since that can't be undone."""
    global _installed
    if not _installed:
        _installed = True
        sys.addaudithook(_audit)
    if _Imports not in sys.meta_path:
        sys.meta_path.insert(0, _Imports)  # audit events tell of imports by the statement only


_installed = False


def _audit(event, arguments):
    if _watch is not None:
        _watch.audit(event, arguments)


class _Imports:
    """The first that is asked where a module is to be found; it never knows."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if _watch is not None:
            _watch.imports(name)
