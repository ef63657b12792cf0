"""Running the sides in turns, each time in a fresh process, and what comes out of it."""

import contextlib
import importlib.util
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from bertnp import blas
from bertnp.bench.batches import make_batches, make_lines
from bertnp.bench.cases import ONNX, SIDES, operations

NEEDS = {  # module that runs a side -> packages it needs
    "ours": (),
    "torch_peer": ("torch", "transformers"),
    "launches_peer": ("torch",),
    "onnx_peer": ("onnxruntime", "onnx", "torch", "transformers"),
    "tokenizers_peer": ("tokenizers",),
}
AGREEMENT = 1e-3  # largest difference between two sides' results, relative
TIME_LIMIT = 1800  # seconds for one process


class Runner:
    """Measures cases: each side `rounds` times, in turns.

    threads: for every side   rounds: processes of each side   time: seconds of work in each, after the warm-up
    progress: function of a line that tells what is going on
    """

    def __init__(self, threads, rounds=3, time=3.0, progress=lambda line: None):
        self.threads = threads
        self.rounds = rounds
        self.time = time
        self.progress = progress
        self.folder = None

    def __enter__(self):
        # whoever is told to end takes the process it waits for and the folder with it
        self._before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        self._temporary = tempfile.TemporaryDirectory(prefix="bertnp-bench-")
        self.folder = Path(self._temporary.name)
        return self

    def __exit__(self, *exception):
        self._temporary.cleanup()
        signal.signal(signal.SIGTERM, self._before)

    def measure(self, case, sides):
        """Everything about one case, as a dictionary for the report; `sides` besides bertnp itself."""
        self.progress(f"{case.name}: making weights and batches")
        request, facts = self.tokenizing(case) if case.kind == "tokenizing" else self.model_work(case)
        found = {"bertnp": {"runs": []}}
        for side in sides:
            missing = self.missing(side)
            found[side] = {"missing": f"not installed: {', '.join(missing)}"} if missing else {"runs": []}
        for round_number in range(self.rounds):
            turns = [side for side in found if "runs" in found[side]]
            for side in turns if round_number % 2 == 0 else reversed(turns):
                self.progress(f"{case.name}, round {round_number + 1} of {self.rounds}: {SIDES[side][1]}")
                try:
                    if side == ONNX and not (Path(request["weights"]) / "fused.onnx").exists():
                        self.process("onnx_peer", {**request, "kind": "export"})
                    answer = self.process(SIDES[side][0], {**request, "side": side})
                except ChildProcessError as error:
                    if side == "bertnp":
                        raise
                    found[side] = {"missing": f"failed: {error}"}
                else:
                    found[side]["runs"].append(answer)
        facts["threads"] = request["threads"]
        goals = {"goals": case.goals, "memory_goal": case.memory, "share_goal": case.share}
        goals |= {"device": case.device, "precision": case.precision}
        sides = summarise(found, facts)
        if case.device == "cuda" and not self.missing_packages("launches_peer"):
            self.progress(f"{case.name}: counting launches")
            for side in (side for side in sides if "runs" in sides[side]):
                asked = {**request, "side": side, "module": SIDES[side][0]}
                with contextlib.suppress(ChildProcessError):
                    sides[side] |= {"launches": self.process("launches_peer", asked)["launches"]}
        return {"name": case.name, "title": case.title, **goals, **facts, "sides": sides}

    def breakdown(self, case):
        """The time of each formula in one training step of a case: see `breakdown.breakdown`."""
        self.progress("taking a training step apart")
        request, _ = self.model_work(case)
        return self.process("ours", {**request, "kind": "breakdown"})

    def growth(self):
        """How the time of a step grows with its sizes: see `growth.growth`."""
        self.progress("letting B, S, L and H grow")
        return self.process("ours", {"kind": "growth", "seconds": self.time / 6})

    def missing(self, side):
        """The packages that a side needs and that are not installed."""
        return self.missing_packages(SIDES[side][0])

    def missing_packages(self, module):
        return [name for name in NEEDS[module] if importlib.util.find_spec(name) is None]

    def model_work(self, case):
        weights = self.weights(case)
        arrays, lengths, labelled, source = make_batches(case)
        batches = self.folder / f"{case.name}.npz"
        np.savez(batches, **arrays)
        request = {"kind": case.kind, "weights": str(weights), "batches": str(batches), **self.amount(case)}
        work = operations(case, lengths, labelled)
        return request, {"tokens": sum(lengths), "operations": work, "text": source}

    def weights(self, case):
        """The folder of a checkpoint with fresh weights, made once for all cases of one size and head."""
        head = case.kind if case.kind in ("pretraining", "fine-tuning") else "inference"
        sizes = "-".join(str(value) for value in case.config.values())
        folder = self.folder / f"{head}-{sizes}"
        if not folder.exists():
            self.process("ours", {"kind": "weights", "for": head, "config": case.config, "weights": str(folder)})
        return folder

    def tokenizing(self, case):
        lines, vocabulary, source = make_lines(case)
        text = "\n".join(lines)
        (self.folder / "lines.txt").write_text(text, encoding="utf-8", newline="\n")
        (self.folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8", newline="\n")
        files = {"lines": str(self.folder / "lines.txt"), "vocabulary": str(self.folder / "vocab.txt")}
        request = {"kind": case.kind, **files, **self.amount(case)}
        return request, {"bytes": len(text.encode()), "text": source}

    def amount(self, case):
        warm_up = 0 if case.kind == "tokenizing" else 1
        return {"threads": 1 if case.kind == "tokenizing" else self.threads, "warm_up": warm_up, "least": 3,
                "time": self.time, "device": case.device, "precision": case.precision}  # fmt: skip

    def process(self, module, request):
        """Run a module of this package as a program: its answer to the request.

        ChildProcessError if it ends without one; the text is its last words.
        """
        threads = request.get("threads", self.threads)
        answer = self.folder / "answer.json"
        answer.unlink(missing_ok=True)
        try:
            ended = subprocess.run(
                [sys.executable, "-m", f"bertnp.bench.{module}"],
                input=json.dumps({**request, "threads": threads, "answer": str(answer)}), env=environment(threads),
                capture_output=True, encoding="utf-8", errors="replace", timeout=TIME_LIMIT, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise ChildProcessError(f"{module}: no answer after {TIME_LIMIT} s") from None
        if ended.returncode or not answer.exists():
            last = [line for line in ended.stderr.splitlines() if line.strip()][-1:]
            raise ChildProcessError(f"{module}: {last[0].strip()[:300] if last else f'exit code {ended.returncode}'}")
        return json.loads(answer.read_text(encoding="utf-8"))


def environment(threads):
    """What a process of any side finds around it: so many threads, no downloads, no choice of kernels by its parent."""
    variables = blas.without_choices(os.environ)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
        variables[name] = str(threads)
    variables |= {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "PYTHONIOENCODING": "utf-8"}
    paths = [str(Path(__file__).parents[2]), variables.get("PYTHONPATH")]  # this very bertnp, wherever we are
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return variables


def summarise(found, facts):
    """For each side: median of its times, rates, peak memory, ratio to bertnp, agreement with it.

    Ratios, and shares of the peak of matrix products, are taken within each round, and the median of these is given:
    a machine that is shared can be twice as fast a minute later.
    """
    ours = found["bertnp"]["runs"]
    result = {}
    for side, entry in found.items():
        if "missing" in entry:
            result[side] = {"name": SIDES[side][1], "missing": entry["missing"]}
            continue
        runs = entry["runs"]
        times = [second for run in runs for second in run["seconds"]]
        median = statistics.median(times)
        summary = {
            "name": SIDES[side][1],
            "seconds": median,
            "fastest": min(times),
            "slowest": max(times),
            "runs": [run["seconds"] for run in runs],
            "peak_bytes": max((run["peak_bytes"] for run in runs if run["peak_bytes"]), default=None),
            "versions": runs[0]["versions"],
            "blas": runs[0]["blas"],
            "threads": facts["threads"],
        }
        if "tokens" in facts:
            summary |= {"tokens_per_second": facts["tokens"] / median,
                        "operations_per_second": facts["operations"] / median}  # fmt: skip
        if ours[0].get("matrix_peak"):
            rates = [facts["operations"] / statistics.median(run["seconds"]) for run in runs]
            shares = [rate / run["matrix_peak"] for rate, run in zip(rates, ours, strict=False)]
            summary["share"] = statistics.median(shares)
        if "bytes" in facts:
            summary["bytes_per_second"] = facts["bytes"] / median
        if side != "bertnp":
            medians = [[statistics.median(run["seconds"]) for run in of] for of in (runs, ours)]
            by_round = [theirs / our for theirs, our in zip(*medians, strict=False)]
            summary |= {
                "ratio": statistics.median(by_round),
                "ratio_range": [min(by_round), max(by_round)],
                "difference": difference(runs[0]["check"], ours[0]["check"]),
            }
            with contextlib.suppress(TypeError):
                summary["memory_ratio"] = result["bertnp"]["peak_bytes"] / summary["peak_bytes"]
        result[side] = summary
    return result


def difference(theirs, ours):
    """How far two sides' results are apart, relative to the larger."""
    scale = max(map(abs, ours))
    return max(abs(a - b) for a, b in zip(theirs, ours, strict=True)) / scale if scale else 0.0
