"""Starting processes that MPI connects; tests that do are marked `oracle("mpi4py")`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
LIMIT = 240  # seconds, after which a hanging run fails


def mpiexec():
    """The launcher that belongs to the Python that runs the tests."""
    beside = shutil.which("mpiexec", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("mpiexec")
    if found is None:
        pytest.skip("mpiexec is not installed")
    return found


def start(processes, *arguments, **variables):
    """Start `python -m mpi4py arguments...` in so many processes; returns the launcher's Popen."""
    path = os.pathsep.join([str(TESTS.parent), str(TESTS), str(TESTS / "training")])
    environment = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", **variables}
    environment.pop("PYTHONWARNDEFAULTENCODING", None)  # other libraries' warnings would stand beside our lines
    command = [mpiexec(), "-n", str(processes), sys.executable, "-m", "mpi4py", *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        encoding="utf-8",
    )  # fmt: skip


def run(processes, *arguments, **variables):
    """The same to its end: (exit code, standard output, standard error)."""
    with start(processes, *arguments, **variables) as launcher:
        try:
            out, err = launcher.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            launcher.kill()
            raise
    return launcher.returncode, out, err
