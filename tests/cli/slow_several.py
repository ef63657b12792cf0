"""Ten runs in which one of two processes is killed anywhere. Takes a minute or two:

    python -m pytest -s tests/cli/slow_several.py
"""

import numpy as np
import pytest
from test_several import killed_and_resumed, pytestmark, together  # noqa: F401

__all__ = ["pytestmark", "together"]


@pytest.mark.parametrize("seed", range(2, 12))
def test_killed_ten_times(corpus, together, tmp_path, seed):  # noqa: F811
    print(killed_and_resumed(corpus, together, tmp_path / "run", np.random.default_rng(seed)))
