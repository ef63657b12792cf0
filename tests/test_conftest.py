"""The rules of conftest.py: what is missing skips a test, and fails it where it is required."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

SAMPLE = """
import pytest

@pytest.mark.oracle("no_such_oracle")
def test_missing_oracle():
    pass

@pytest.mark.oracle("pytest")
def test_oracle_missing_inside():
    pytest.importorskip("no_such_oracle")

@pytest.mark.oracle("pytest")
def test_oracle_that_is_there():
    pass

def test_data(data_dir):
    pass

def test_checkpoint(checkpoint_dir):
    pass

@pytest.mark.data
def test_data_missing_inside():
    pytest.skip("no file")

@pytest.mark.compiler
def test_compiler():
    pass

@pytest.mark.gpu
def test_gpu():
    pass

def test_other_skip():
    pytest.skip("another reason")

@pytest.mark.oracle("pytest")
@pytest.mark.xfail(strict=True)
def test_expected_failure():
    assert False
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs the sample tests under this folder's conftest.py: {test name: outcome}."""
    folder = tmp_path_factory.mktemp("sample")
    shutil.copy(TESTS / "conftest.py", folder)
    (folder / "test_sample.py").write_text(SAMPLE, encoding="utf-8")
    (folder / "test_module.py").write_text("import pytest\npytest.importorskip('no_such_oracle')\n", encoding="utf-8")
    markers = "\n    ".join(("[pytest]\nmarkers =", "oracle", "data", "compiler", "gpu"))
    (folder / "pytest.ini").write_text(markers + "\n", encoding="utf-8")

    def run_with(**variables):
        path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
        environment = {k: v for k, v in os.environ.items() if not k.startswith("BERTNP_")}
        environment |= {"PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        environment |= {"BERTNP_DATA": str(folder / "nowhere"), **variables}
        environment |= {"PATH": str(folder), "CUDA_VISIBLE_DEVICES": ""}  # no compiler, no GPU
        command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8")
        outcomes = {}
        for line in done.stdout.split("short test summary info")[1].splitlines():
            word, _, rest = line.partition(" ")
            if word in ("PASSED", "FAILED", "ERROR", "XFAIL"):
                outcomes[rest.split(" - ")[0].rpartition("::")[2]] = word
        return outcomes, done.stdout

    return run_with


def test_what_is_missing_is_skipped(run):
    outcomes, output = run()
    assert outcomes == {"test_oracle_that_is_there": "PASSED", "test_expected_failure": "XFAIL"}
    for reason in ("no_such_oracle is not installed", "no real data at", "no real checkpoints; set", "another reason",
                   "there is no C++ compiler", "CuPy"):  # fmt: skip
        assert reason in output


def test_what_is_required_fails_where_it_is_missing(run):
    required = dict.fromkeys(("ORACLES", "DATA", "COMPILER", "GPU"), "1")
    outcomes, output = run(**{f"BERTNP_REQUIRE_{what}": value for what, value in required.items()})
    assert outcomes == {
        "test_oracle_that_is_there": "PASSED",
        "test_expected_failure": "XFAIL",
        "test_missing_oracle": "ERROR",
        "test_oracle_missing_inside": "FAILED",
        "test_module.py": "ERROR",
        "test_data": "ERROR",
        "test_checkpoint": "ERROR",
        "test_data_missing_inside": "FAILED",
        "test_compiler": "ERROR",
        "test_gpu": "ERROR",
    }, output
    assert "BERTNP_REQUIRE_ORACLES=1" in output and "BERTNP_REQUIRE_DATA=1" in output
