"""From nothing to a first answer: what has to be installed, and how long the start of a process takes."""

import importlib.metadata
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bertnp.bench.batches import make_lines
from bertnp.bench.cases import MINILM, ONNX, SIDES, SMALL, TORCH, Case
from bertnp.bench.running import environment

IMPORTS = {  # what a program has to load before it can label a text
    "bertnp": "from bertnp.pipelines import TextClassifier",
    TORCH: "import torch; from transformers import BertForSequenceClassification, BertTokenizer",
    ONNX: "import onnxruntime, tokenizers",
}
INSTALLED = {"bertnp": ("bertnp",), TORCH: ("torch", "transformers"), ONNX: ("onnxruntime", "tokenizers")}
OWN_REQUIREMENTS = ("numpy", "scipy", "safetensors", "matplotlib", "tqdm")  # where bertnp runs uninstalled
TEXT = "I love you."


def measure_cold_start(runner, sides, quick=False):
    """For bertnp and each of the sides: bytes installed, seconds to import, and to the first prediction.

    The prediction is a class for one sentence, by a model of MiniLM's size with its tokenizer from files.
    """
    case = Case("cold-start", "", "fine-tuning", {**(SMALL if quick else MINILM)})
    _, vocabulary, _ = make_lines(Case("", "", "tokenizing", count=10))
    (runner.folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8", newline="\n")
    folder = runner.folder / "classifier"
    config = {**case.config, "vocab_size": max(case.config["vocab_size"], len(vocabulary))}
    files = {"weights": str(folder), "vocabulary": str(runner.folder / "vocab.txt")}
    runner.process("ours", {"kind": "weights", "for": "fine-tuning", "config": config, **files})
    if ONNX in sides:
        runner.process("onnx_peer", {"kind": "export", "for": "fine-tuning", **files})
    found = {side: {"name": SIDES[side][1], "installed_bytes": installed_bytes(INSTALLED[side]), "import": [],
                    "first_prediction": []} for side in ("bertnp", *sides)}  # fmt: skip
    for round_number in range(runner.rounds + 1):
        for side, entry in found.items():
            runner.progress(f"cold start, round {round_number} of {runner.rounds}: {entry['name']}")
            imported = import_seconds(IMPORTS[side], runner.threads)
            began = time.time()
            answer = runner.process(SIDES[side][0], {"kind": "first-prediction", "side": side, "text": TEXT, **files})
            entry["import"].append(imported)
            entry["first_prediction"].append(answer["done_at"] - began)
            entry |= {name: answer[name] for name in ("peak_bytes", "logits")}
    for entry in found.values():
        for name in ("import", "first_prediction"):
            entry[name] = statistics.median(entry[name][1:] or entry[name])  # the first brought the files into memory
    return found


def import_seconds(statement, threads):
    """Seconds that a fresh process takes for these imports, the start of Python included."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], env=environment(threads), check=True, capture_output=True)
    return time.perf_counter() - began


def installed_bytes(names):
    """The size of the files of these packages and all they need, as far as installed."""
    return sum(package_bytes(name) for name in needed(names))


def needed(names):
    """These packages and, recursively, those they require, extras aside."""
    found, open_names = set(), [normal(name) for name in names]
    while open_names:
        name = open_names.pop()
        if name in found:
            continue
        try:
            required = importlib.metadata.requires(name) or ()
        except importlib.metadata.PackageNotFoundError:
            if name != "bertnp":
                continue
            required = OWN_REQUIREMENTS
        found.add(name)
        open_names += [normal(line) for line in required if "extra ==" not in line]
    return found


def normal(requirement):
    """The package's name in a requirement such as "numpy>=2.0; python_version > '3'"."""
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")


def package_bytes(name):
    try:
        files = importlib.metadata.files(name) or ()
        sizes = [path.stat().st_size for path in (file.locate() for file in files) if Path(path).is_file()]
    except importlib.metadata.PackageNotFoundError:
        sizes = []
    if name == "bertnp" and sum(sizes) < 100_000:  # run from its source, installed or not
        sizes = [path.stat().st_size for path in Path(__file__).parents[1].rglob("*") if path.is_file()]
    return sum(sizes)
