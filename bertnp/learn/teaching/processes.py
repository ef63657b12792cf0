"""Judging one submission in processes of its own, each with limits, until every exercise has its mark."""

import contextlib
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import bertnp
from bertnp.learn.judging import FRAME
from bertnp.learn.teaching.notebooks import place

START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from bertnp.learn.teaching.worker import main; main()"
STARTING = 120.0  # seconds for a process to load the library, however busy the machine is
MOST_LINE = 32 * 2**20  # bytes of one message
PRINTED = 2000  # characters of what a student's code prints that are kept
LOOK = 0.2  # seconds between looks at the clock
THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL", "VECLIB_MAXIMUM")}
KEPT = ("PATH", "SYSTEMROOT", "WINDIR", "LANG", "LC_ALL", "OPENBLAS_CORETYPE", "BERTNP_BLAS")
DEATHS = {
    "SIGSEGV": "its code crashed Python itself (segmentation fault)",
    "SIGKILL": "the system ended it, most likely for the memory it used",
    "SIGXCPU": "its processor time was used up",
    "SIGXFSZ": "it wrote too large a file",
    "SIGABRT": "its code crashed Python itself",
}


@dataclass(frozen=True)
class Limits:
    """timeout: seconds for reading a file, and for each exercise   whole: seconds for a submission   memory: bytes"""

    timeout: float = 20.0
    whole: float = 120.0
    memory: int = 2 * 2**30


@dataclass
class Mark:
    """What a submission has got for an exercise.

    status: "right", "partly", "wrong", "nothing" (not handed in, or not written), "stopped" (it ran too long, or
    crashed) or "refused" (it took the answer from elsewhere, or changed what judges it)
    rows: the numbers of a failed gradient check, for a picture; see `bertnp.gradcheck.report.Row.to_dict`
    """

    number: str
    points: int
    score: float
    status: str
    sentence: str = ""
    mistake: str = ""
    text: str = ""
    title: str = ""
    rows: list = field(default_factory=list, repr=False)

    @property
    def earned(self):
        return round(self.points * self.score, 2)


FAILED = "The judging itself failed: that is no verdict on the code, look at it by hand"
REFUSED = (
    "calls the library", "foreign library", "reads the answer", "leaves its process", "switches the check off",
)  # fmt: skip
NOTHING = ("missing", "unwritten")


@dataclass
class Judged:
    """A submission with its marks, and what else is worth saying of it.

    printed: the beginning of what its code has printed, and how many bytes it was   memory_limited: did the limit hold?
    """

    submission: object
    marks: list
    remarks: list
    printed: tuple
    memory_limited: bool = True

    @property
    def total(self):
        return round(sum(mark.earned for mark in self.marks), 2)


def judge(submission, exercises, seed, limits, stopping=None):
    """Judge a submission. It always ends, at the latest after `limits.whole` seconds and a little.

    exercises: of the registry, in order   stopping: an Event; when it is set, everything ends at once
    """
    return Judging(submission, exercises, seed, limits, stopping or threading.Event()).run()


class Judging:
    def __init__(self, submission, exercises, seed, limits, stopping):
        self.submission, self.seed, self.limits, self.stopping = submission, seed, limits, stopping
        self.exercises = {exercise.number: exercise for exercise in exercises}
        self.open = list(self.exercises)
        self.marks, self.remarks, self.trouble = {}, list(submission.remarks), {}
        self.printed, self.printed_bytes, self.memory_limited = "", 0, True
        self.end = time.monotonic() + limits.whole

    def run(self):
        if not self.submission.files:
            self.give_all("nothing", "Nothing was handed in that could be judged.", "missing")
        while self.open:
            if time.monotonic() >= self.end:
                sentence = (
                    f"The {self.limits.whole:g} seconds for the whole submission were used up before its turn came."
                )
                self.give_all("stopped", sentence, "no time left")
            else:
                self.one_process()
        marks = [self.marks[number] for number in self.exercises]
        remarks = list(dict.fromkeys(self.remarks))
        return Judged(self.submission, marks, remarks, (self.printed, self.printed_bytes), self.memory_limited)

    def one_process(self):
        """Start a process and take in what it says until it ends or is ended. Settles at least one open question."""
        with Process(self.order(), self.submission.files) as process:
            began, doing, file = time.monotonic(), "start", None
            deadline = began + STARTING
            while True:
                event = process.next(deadline, self.stopping)
                if event in ("late", "ended"):
                    break
                what = event["event"]
                if what == "ready":
                    self.memory_limited = event["memory"]
                    self.end += time.monotonic() - began  # loading the library is not the student's time
                elif what == "reading":
                    doing, file = "read", event["file"]
                elif what == "begin":
                    doing = event["exercise"]
                elif what == "remark":
                    self.remarks.append(event["text"])
                elif what == "verdict":
                    self.take(event)
                elif what == "changed":
                    self.take_change(event)
                elif what == "failed":
                    self.give_all("stopped", f"{FAILED} ({event['text']}).", "the judging failed")
                if what in ("done", "failed") or (what == "changed" and not event["reading"]):
                    doing = None
                    break
                deadline = min(time.monotonic() + self.limits.timeout, self.end)
            self.settle(doing, file, self.late(process) if event == "late" else process.how_it_ended())
            self.keep_printed(process)

    def late(self, process):
        whole = time.monotonic() >= self.end
        seconds = f"the {self.limits.whole:g} seconds for all" if whole else f"{self.limits.timeout:g} seconds"
        return f"it did not come to an end within {seconds}{process.where()}"

    def order(self):
        files = list(self.submission.files)
        return {
            "files": files, "exercises": self.open, "seed": self.seed, "trouble": self.trouble,
            "memory": self.limits.memory, "processor": int(self.limits.whole) + 5, "timeout": self.limits.timeout,
        }  # fmt: skip

    def take(self, event):
        number = event["exercise"]
        if number not in self.open:
            return
        if event["ok"]:
            status = "right"
        elif event["mistake"] in REFUSED:
            status = "refused"
        elif event["score"] > 0:
            status = "partly"
        else:
            status = "nothing" if event["mistake"] in NOTHING else "wrong"
        found = {name: event[name] for name in ("score", "sentence", "mistake", "text", "title", "rows")}
        self.give(number, status, **found)

    def take_change(self, event):
        names = ", ".join(event["names"][:5]) + (", …" if len(event["names"]) > 5 else "")
        when = "while the file was read" if event["reading"] else "while it ran"
        sentence = f"It changed what judges it, {when}: {names}. Nothing judged with that counts."
        if event["exercise"] in self.open:
            self.give(event["exercise"], "refused", 0.0, sentence, "changes the judge")

    def settle(self, doing, file, how):
        """After a process has ended: whose doing it was, so that the next one gets further."""
        if doing is None:
            return
        if doing == "start":
            raise RuntimeError(f"a process that judges could not be started: {how}")
        if doing == "read" and file not in self.trouble:
            self.trouble[file] = f"while {file} was read, {how}"
        elif doing == "read":
            self.give_all(
                "stopped", f"{self.trouble[file][:1].upper()}{self.trouble[file][1:]}.", "the file does not run"
            )
        elif doing in self.open:
            self.give(doing, "stopped", 0.0, f"{how[:1].upper()}{how[1:]}.", "stopped")

    def give(self, number, status, score, sentence, mistake, text="", title="", rows=()):
        self.open.remove(number)
        points = self.exercises[number].points
        self.marks[number] = Mark(number, points, score, status, sentence, mistake, text or sentence, title, list(rows))

    def give_all(self, status, sentence, mistake):
        for number in list(self.open):
            self.give(number, status, 0.0, sentence, mistake)

    def keep_printed(self, process):
        text, count = process.printed()
        self.printed = (self.printed + text)[:PRINTED]
        self.printed_bytes += count


class Process:
    """A worker: what it says, as long as it may run. Leaving the block ends it and all that it has started."""

    def __init__(self, order, files):
        self.secret = secrets.token_hex(16)
        self.messages, self.head, self.count = queue.Queue(), bytearray(), 0
        self.folder = tempfile.TemporaryDirectory(prefix="bertnp-", ignore_cleanup_errors=True)
        self.work, self.trace = (Path(self.folder.name, name) for name in ("work", "trace"))
        self.order = order | {"secret": self.secret, "trace": str(self.trace)}
        write_files(self.work, files)

    def __enter__(self):
        alone = {"start_new_session": True} if os.name == "posix" else {
            "creationflags": subprocess.CREATE_NEW_PROCESS_GROUP
        }  # fmt: skip
        # -s -P and an environment of our own are what -I does, but for PYTHONHASHSEED, which -I would not read
        self.process = subprocess.Popen(
            [sys.executable, "-s", "-P", "-X", "utf8", "-c", START, json.dumps(search_path())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.work,
            env=environment(self.folder.name), **alone,
        )  # fmt: skip
        with contextlib.suppress(OSError):  # it has ended already: the reader will see
            self.process.stdin.write(json.dumps(self.order).encode() + b"\n")
            self.process.stdin.close()
        for work in (self.listen, self.drain):
            threading.Thread(target=work, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.kill()
        self.folder.cleanup()

    def listen(self):
        """Put what comes with the secret before it in the queue; None at the end."""
        secret = self.secret.encode()
        try:
            for line in iter(lambda: self.process.stdout.readline(MOST_LINE), b""):
                if line.startswith(secret):
                    self.messages.put(json.loads(line[len(secret) :]))
        except (OSError, ValueError, RecursionError):
            pass  # no message any more
        finally:
            self.messages.put(None)

    def drain(self):
        """Read on whatever is printed, so that nobody waits for it to be read, and keep the beginning."""
        with contextlib.suppress(OSError, ValueError):
            for block in iter(lambda: self.process.stderr.read1(1 << 16), b""):
                self.count += len(block)
                self.head += block[: max(0, 4 * PRINTED - len(self.head))]

    def next(self, end, stopping):
        """The next message; "late" where none has come by then, "ended" where none will."""
        while not stopping.is_set():
            left = end - time.monotonic()
            try:
                message = self.messages.get(timeout=max(min(left, LOOK), 0.001))
            except queue.Empty:
                if left <= 0:
                    return "late"
                continue
            return "ended" if message is None else message
        raise KeyboardInterrupt

    def how_it_ended(self):
        try:
            code = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "it closed the pipe over which results come"
        if code >= 0xC0000000:  # Windows
            return DEATHS["SIGSEGV"]
        if code >= 0:
            return f"it ended the process (exit code {code}), as os._exit does; an exit code is no result"
        name = signal.Signals(-code).name
        return DEATHS.get(name, f"it was ended by {name}")

    def where(self):
        """The line of the student's that ran when time was up, as far as the process could still write it down."""
        text = self.trace.read_text(encoding="utf-8", errors="replace") if self.trace.is_file() else ""
        work = self.work.resolve()
        for file, line, _ in FRAME.findall(text):
            if Path(file).is_relative_to(work) and Path(file).is_file():
                name = Path(file).relative_to(work).as_posix()
                return f"; last seen at {place(name, Path(file).read_text(encoding='utf-8'), int(line))}"
        return ""

    def kill(self):
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        elif self.process.poll() is None:
            subprocess.run(["taskkill", "/F", "/T", "/PID", str(self.process.pid)], capture_output=True)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=5)

    def printed(self):
        """(the beginning, number of bytes) of what was printed, without the folder, which is another each time."""
        text = bytes(self.head).decode("utf-8", "replace")
        for folder in (self.work.resolve(), self.work):
            text = text.replace(f"{folder}{os.sep}", "").replace(str(folder), ".")
        return text[:PRINTED], self.count


def write_files(folder, files):
    folder.mkdir()
    for name, data in files.items():
        path = folder / name
        with contextlib.suppress(OSError):  # a name that this system doesn't take: the worker says that it isn't there
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def search_path():
    """Where modules are found: the teacher's own library first, never the current folder."""
    library = str(Path(bertnp.__file__).resolve().parents[1])
    here = {"", os.getcwd()} - {library}
    return list(dict.fromkeys([library, *(place for place in sys.path if place not in here)]))


def environment(folder):
    """What of the environment a student's code gets to see; sets have the same order each time."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    places = {name: folder for name in ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP")}
    return kept | places | THREADS | {"BERTNP_THREADS": "1", "PYTHONHASHSEED": "0", "MPLBACKEND": "Agg"}
