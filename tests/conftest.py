"""Fixtures that all tests share: where the real data and checkpoints are, if they are there."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir():
    """The folder of real data sets: BERTNP_DATA, or shared/data beside the project."""
    folder = Path(os.environ.get("BERTNP_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set BERTNP_DATA")
    return folder


@pytest.fixture(scope="session")
def checkpoint_dir():
    """The folder of real checkpoints that BERTNP_CHECKPOINTS names."""
    folder = os.environ.get("BERTNP_CHECKPOINTS")
    if not folder or not Path(folder).is_dir():
        pytest.skip("no real checkpoints; set BERTNP_CHECKPOINTS")
    return Path(folder)
