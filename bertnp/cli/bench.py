"""Measure how fast bertnp is, beside whatever is installed to compare it with.

Every side (bertnp, its textbook bodies, transformers + PyTorch, ONNX Runtime, tokenizers) does the same work on the
same weights and batches, in turns, each time in a fresh process. A ratio is the other side's median time over
bertnp's in the same round, and the median of the rounds is given: above 1, bertnp is faster. Nothing else should run
on the machine meanwhile.

Real text is used where BERTNP_DATA and BERTNP_CHECKPOINTS name folders with some, else made-up text of the same shape.
"""

import json
import sys
from pathlib import Path

from bertnp.bench.cases import CASES, ONNX, QUICK, SIDES, TORCH, quick
from bertnp.bench.cuda import CUDA_CASES, CUDA_QUICK, gpu_lines, table_lines
from bertnp.cli.arguments import device, make_writable, note, number

PARTS = {
    "cold-start": "what is installed, and the time from the start of a process to its first prediction",
    "breakdown": "the time of each formula in a training step",
    "growth": "how the time grows with B, S, L and H",
}
EXAMPLES = """\
examples:
  bertnp bench --quick
  bertnp bench -o results
  bertnp bench training-step inference-1x16 --against torch --rounds 5
  bertnp bench breakdown
  bertnp bench --device cuda -o results
  bertnp bench --device cuda training-32x128-tf32
"""


def add_arguments(parser):
    parser.add_argument("cases", nargs="*", metavar="CASE",
                        help=f"what to measure, of {', '.join(names())}; on a GPU of {', '.join(names('cuda'))}; "
                        "default: all")  # fmt: skip
    parser.add_argument("--device", default="cpu", type=device, metavar="{cpu,cuda}",
                        help="cuda: BERT-base on a GPU, in fp32, tf32 and bf16 (default: cpu)")  # fmt: skip
    parser.add_argument("-o", "--output", metavar="DIR", help="write bench.json and bench.png there")
    parser.add_argument("--quick", action="store_true", help="small models, few cases, one round: under a minute")
    parser.add_argument("--against", nargs="+", metavar="SIDE", choices=[*list(SIDES)[1:], "nothing"],
                        help=f"whom to compare with, of {', '.join(list(SIDES)[1:])}, nothing; default: all that are "
                        "installed")  # fmt: skip
    parser.add_argument("--rounds", type=number(int, 1), metavar="N",
                        help="processes of each side (default: 3; with --quick 1)")  # fmt: skip
    parser.add_argument("--time", type=number(float, 0, exclusive=True), metavar="SECONDS",
                        help="of work in each process, after warming up (default: 3; with --quick 0.5)")  # fmt: skip
    parser.add_argument("--threads", type=number(int, 1, 1025), metavar="N",
                        help="for every side (default: those of BERTNP_THREADS or OPENBLAS_NUM_THREADS, else all "
                        "cores)")  # fmt: skip


def names(device="cpu"):
    return [case.name for case in CUDA_CASES] if device == "cuda" else [*(case.name for case in CASES), *PARTS]


def run(args):
    unknown = [name for name in args.cases if name not in names(args.device)]
    if unknown:
        raise ValueError(f"there is no case {unknown[0]!r}; there are {', '.join(names(args.device))}")
    if args.against and "nothing" in args.against and len(args.against) > 1:
        raise ValueError(f"--against: nothing is compared with nothing else, got {' '.join(args.against)}")
    if args.output:
        make_writable(Path(args.output))
    if args.device == "cuda":
        return run_on_gpu(args)
    chosen = args.cases or (QUICK if args.quick else names())
    against = args.against or list(SIDES)
    from bertnp.backend.threads import core_count
    from bertnp.bench import report
    from bertnp.bench.running import Runner

    rounds, seconds = args.rounds or (1 if args.quick else 3), args.time or (0.5 if args.quick else 3.0)
    progress = note if sys.stderr.isatty() else (lambda line: None)
    with Runner(args.threads or core_count(), rounds, seconds, progress) as runner:
        record = begin(runner)
        show(report.machine_lines(record))
        for case in CASES:
            if case.name in chosen:
                case = quick(case) if args.quick else case
                found = runner.measure(case, [side for side in case.sides if side in against])
                record["cases"].append(found)
                show(report.case_lines(found) + report.memory_and_share_lines(found))
        if "cold-start" in chosen:
            from bertnp.bench.cold_start import measure_cold_start

            sides = [side for side in (TORCH, ONNX) if side in against and not runner.missing(side)]
            record["cold_start"] = measure_cold_start(runner, sides, args.quick)
            show(report.cold_start_lines(record["cold_start"]))
        if "breakdown" in chosen:
            record["breakdown"] = runner.breakdown(quick(CASES[0]) if args.quick else CASES[0])
            show(report.breakdown_lines(record["breakdown"]))
        if "growth" in chosen:
            record["growth"] = runner.growth()
            show(report.growth_lines(record["growth"]))
    if args.output:
        write(record, Path(args.output))


def run_on_gpu(args):
    """Measure on a GPU; the table of all cases comes last."""
    from bertnp.backend.threads import core_count
    from bertnp.bench import report
    from bertnp.bench.running import Runner

    chosen = args.cases or (CUDA_QUICK if args.quick else names("cuda"))
    rounds, seconds = args.rounds or (1 if args.quick else 3), args.time or (0.5 if args.quick else 3.0)
    progress = note if sys.stderr.isatty() else (lambda line: None)
    with Runner(args.threads or core_count(), rounds, seconds, progress) as runner:
        record = {"gpu": runner.process("ours", {"kind": "gpu"}), "rounds": rounds, "seconds_a_process": seconds,
                  "cases": []}  # fmt: skip
        show(gpu_lines(record["gpu"]))
        for case in CUDA_CASES:
            if case.name in chosen:
                found = runner.measure(case, [side for side in case.sides if side in (args.against or case.sides)])
                record["cases"].append(found)
                show(report.case_lines(found))
    if args.output:
        from bertnp.backend.files import write_text

        write_text(Path(args.output) / "bench.json", json.dumps(record, indent=2) + "\n")
    show(table_lines(record))


def begin(runner):
    """The record, with the machine in it."""
    from bertnp.bench.machine import describe_machine

    machine = describe_machine(runner.threads)
    peak = runner.process("ours", {"kind": "peak"})
    return {"machine": machine, "rounds": runner.rounds, "seconds_a_process": runner.time,
            "matrix_peak": peak["matrix_peak"], "blas": peak["blas"], "cases": []}  # fmt: skip


def show(lines):
    print("\n".join(lines) + "\n", flush=True)


def write(record, folder):
    """bench.json, and bench.png if there is something to draw."""
    from bertnp import plotting
    from bertnp.backend.files import write_text

    write_text(folder / "bench.json", json.dumps(record, indent=2) + "\n")
    compared = any("ratio" in side for case in record["cases"] for side in case["sides"].values())
    if compared or "breakdown" in record or "growth" in record:
        plotting.speed(record, folder / "bench.png")
