"""Judging a student's file in a process of its own, with limits: an endless loop ends there, and so does a crash."""

import contextlib
import dataclasses
import faulthandler
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import bertnp
from bertnp.learn.checking import check, failed
from bertnp.learn.exercises import Verdict, registry
from bertnp.learn.loading import BrokenFile, here, load, shown

TIMEOUT = 10.0  # seconds for each exercise
MEMORY = 4 << 30  # bytes, where the system has such limits
KEPT = 4000  # characters of what a student's code prints
STARTING = 60.0  # seconds that Python and NumPy may take to start, at most
DRAINING = 10.0  # seconds that reading what a process has printed may take, when it has ended
SENT = ("ok", "score", "text", "sentence", "mistake")  # of a Verdict
LOADED = "loaded"  # the first of the results
FRAME = re.compile(r'File "(.+)", line (\d+) in (\S+)')


def judge(path, exercises, seed=0, timeout=TIMEOUT):
    """Judge the functions of a file in another process: [(Exercise, Verdict)], and what the code printed.

    path: the student's file   timeout: seconds for each exercise
    """
    verdicts, printed, waiting = [], "", list(exercises)
    while waiting:
        found, said = _in_process(Path(path).resolve(), waiting, seed, timeout)
        printed += said
        verdicts += zip(waiting, found, strict=False)
        waiting = waiting[len(found) :]  # after an exercise that ended the process comes a new one
    return verdicts, printed


def _in_process(path, exercises, seed, timeout):
    """The verdicts of one process: of all exercises, or up to the first that ended it; and what it printed."""
    with tempfile.TemporaryDirectory() as folder:
        results, trace = Path(folder, "results"), Path(folder, "trace")
        order = {"path": str(path), "seed": seed, "timeout": timeout, "numbers": [e.number for e in exercises]}
        order |= {"results": str(results), "trace": str(trace)}
        limit = STARTING + timeout * (1 + len(exercises))
        code, printed = run_limited([sys.executable, "-m", "bertnp.learn.judging", json.dumps(order)], limit)
        lines = results.read_text(encoding="utf-8").splitlines() if results.is_file() else []
        verdicts = [Verdict(**json.loads(line)) for line in lines if line != LOADED]
        if len(verdicts) < len(exercises):
            stopped = trace.read_text(encoding="utf-8", errors="replace") if trace.is_file() else ""
            last = of_end(path, exercises[len(verdicts)], code, stopped, timeout)
            verdicts += [last] if LOADED in lines else [last] * len(exercises)
    return [with_place(verdict, path) for verdict in verdicts], printed


def with_place(verdict, path):
    """The verdict, whose text begins with what was tested: with the file alone, where it is nothing narrower."""
    if verdict.text.startswith("tested: "):
        return verdict
    return dataclasses.replace(verdict, text=f"tested: {here(path)}\n{verdict.text}")


def of_end(path, exercise, code, stopped, timeout):
    """The verdict of the exercise in which the process ended: by its time, or by itself."""
    if stopped or code is None:
        written = str(path).encode("ascii", "backslashreplace").decode()  # as a trace has it
        frames = [(line, name) for file, line, name in FRAME.findall(stopped) if file == written]
        line, name = frames[0] if frames else (None, f"The check of {exercise.number}")
        what = "The file" if name == "<module>" else name
        sentence, mistake = f"{what} did not end within {timeout:g} s: is there a loop without end?", "endless"
    else:
        line, mistake = None, "ends its process"
        sentence = f"The process ended by itself (exit code {code}): os._exit, or a crash?"
    verdict = failed(exercise, {}, sentence, mistake)
    place = "" if line is None else f"\n    {shown(path, int(line))}"
    return dataclasses.replace(verdict, text=verdict.text + place)


def run_limited(command, seconds):
    """Run a command for so many seconds at most: its exit code, None if it was stopped, and the first of its output."""
    variables = {"OPENBLAS_NUM_THREADS": "1", **environment(), "PYTHONIOENCODING": "utf-8"}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, env=variables, **pipes) as process:
        kept = []
        reader = threading.Thread(target=_drain, args=(process.stdout, kept), daemon=True)
        reader.start()
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            process.kill()
        reader.join(DRAINING)
    return code, b"".join(kept).decode("utf-8", "replace").replace("\r\n", "\n")


def environment():
    """The variables of a process that is to find this bertnp."""
    paths = [str(Path(bertnp.__file__).parents[1]), os.environ.get("PYTHONPATH")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _drain(stream, kept):
    """Read all there is, and keep the first of it."""
    size = 0
    while part := stream.read1(1 << 16):
        kept.append(part[: max(0, KEPT - size)])
        size += len(part)
    if size > KEPT:
        kept.append(f"\n... and {size - KEPT:,} bytes more\n".encode())


# in the other process


def main(order):
    """Judge, and write a line for each verdict; the parent sees from their number where this process ended."""
    limit_memory(MEMORY)
    exercises = [registry()[number] for number in order["numbers"]]
    trace = open(order["trace"], "w", encoding="utf-8")
    with open(order["results"], "w", encoding="utf-8") as results:

        def answer(verdict):
            print(json.dumps({name: getattr(verdict, name) for name in SENT}), file=results, flush=True)

        with ended_after(order["timeout"], trace):
            try:
                functions = load(order["path"])
            except BrokenFile as error:
                for _ in exercises:
                    answer(broken(error))
                return
        print(LOADED, file=results, flush=True)
        for exercise in exercises:
            with ended_after(order["timeout"], trace):
                verdict = check(exercise, functions, order["seed"])
            answer(verdict)


def broken(error):
    """The verdict of every exercise of a file that can't be read."""
    return Verdict(False, 0.0, f" => {error}", error.sentence, error.mistake)


@contextlib.contextmanager
def ended_after(seconds, trace):
    """End this process, and write where it was, if the block takes longer: whatever it is doing."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=trace)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def limit_memory(size):
    """Let this process have no more memory than that, where the system can; returns whether it can."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (size, resource.getrlimit(resource.RLIMIT_AS)[1]))
    except (ImportError, ValueError, OSError):  # Windows; a lower limit is there already; macOS
        return False
    return True


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
