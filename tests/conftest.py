"""Fixtures and rules that all tests share: devices, real data and checkpoints, oracles.

Tests whose data, checkpoints, oracles, compiler, CuPy or GPU are missing are skipped. Where they must not be missing,
BERTNP_REQUIRE_DATA=1 and so on (see REQUIRED_BY) turn those skips into failures.

Cases of functions that are exercises are marked `ex`, with the functions' names: `--impl` (bertnp.learn.pytest_plugin)
runs them on a student's own.
"""

import importlib.util
import os
from pathlib import Path

import pytest
import strict_device  # makes the device "strict" known
from cuda_devices import gpu_missing
from emulated_cuda import COMPILER

ORACLES = ("torch", "transformers", "tokenizers")
REQUIRED_BY = {  # marker -> environment variable
    "data": "BERTNP_REQUIRE_DATA",
    "oracle": "BERTNP_REQUIRE_ORACLES",
    "compiler": "BERTNP_REQUIRE_COMPILER",
    "cupy": "BERTNP_REQUIRE_CUPY",
    "gpu": "BERTNP_REQUIRE_GPU",
}

EXERCISED = (
    "test_functional_forward.py", "test_functional_gradients.py", "test_functional_oracle.py",
    "test_gradcheck_formulas.py",
)  # fmt: skip  # whose cases are those of exercises


def pytest_ignore_collect(collection_path, config):
    """With --impl the other files need not be read."""
    if config.getoption("impl", None) and collection_path.suffix == ".py" and collection_path.name not in EXERCISED:
        return True


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark the cases of functions that are exercises."""
    from bertnp.learn.plugging import replaceable

    exercises = replaceable()
    for item in items:
        if hasattr(item, "callspec") and item.path.name in EXERCISED:
            values = [getattr(value, "formula", value) for value in item.callspec.params.values()]
            names = [name for value in values if isinstance(value, str) for name in (value, f"{value}_backward")]
            if exercises.keys() & names:
                item.add_marker(pytest.mark.ex(*sorted(exercises.keys() & names)))


def is_required(marker):
    return os.environ.get(REQUIRED_BY[marker]) == "1"


def skip_or_fail(marker, reason):
    """Skip the test, or fail it where what it needs is required to be there."""
    if is_required(marker):
        pytest.fail(f"{reason}, and {REQUIRED_BY[marker]}=1", pytrace=False)
    pytest.skip(reason)


def pytest_runtest_setup(item):
    """What the markers ask for is there, or the test is skipped.

    Tests marked `oracle` need every oracle, or those that the marker names: @pytest.mark.oracle("tokenizers").
    """
    marker = item.get_closest_marker("oracle")
    if marker is not None:
        missing = [name for name in marker.args or ORACLES if importlib.util.find_spec(name) is None]
        if missing:
            skip_or_fail("oracle", f"the oracle {', '.join(missing)} is not installed")
    if item.get_closest_marker("compiler") is not None and COMPILER is None:
        skip_or_fail("compiler", "there is no C++ compiler (g++)")
    if item.get_closest_marker("cupy") is not None and importlib.util.find_spec("cupy") is None:
        skip_or_fail("cupy", "CuPy is not installed")
    if item.get_closest_marker("gpu") is not None and gpu_missing():
        skip_or_fail("gpu", gpu_missing())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """However a test marked `oracle` or `data` was skipped: where it is required, that is a failure."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        for marker in REQUIRED_BY:
            if item.get_closest_marker(marker) is not None and is_required(marker):
                report.outcome = "failed"
                report.longrepr = f"{item.nodeid} was skipped, and {REQUIRED_BY[marker]}=1: {call.excinfo.value}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """A module that pytest.importorskip skips as a whole fails where oracles are required."""
    report = yield
    if report.skipped and is_required("oracle"):
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} was skipped, and {REQUIRED_BY['oracle']}=1"
    return report


@pytest.fixture(scope="session")
def data_dir():
    """The folder of real data sets: BERTNP_DATA, or shared/data beside the project."""
    folder = Path(os.environ.get("BERTNP_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        skip_or_fail("data", f"no real data at {folder}; set BERTNP_DATA")
    return folder


@pytest.fixture(scope="session")
def checkpoint_dir():
    """The folder of real checkpoints that BERTNP_CHECKPOINTS names."""
    folder = os.environ.get("BERTNP_CHECKPOINTS")
    if not folder or not Path(folder).is_dir():
        skip_or_fail("data", "no real checkpoints; set BERTNP_CHECKPOINTS")
    return Path(folder)


@pytest.fixture(params=["numpy", strict_device.BACKEND.name])
def device(request):
    """The name of a device: the host's memory, and the strict stand-in for CUDA."""
    return request.param
