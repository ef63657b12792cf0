"""Measure how fast bertnp is, beside whatever is installed to compare it with.

Every side (bertnp, its textbook bodies, transformers + PyTorch, ONNX Runtime, tokenizers) does the same work on the
same weights and batches, in turns, each time in a fresh process. A ratio is the other side's median time over
bertnp's: above 1, bertnp is faster. Nothing else should run on the machine meanwhile.
"""

import json
import sys
from pathlib import Path

from bertnp.bench.cases import CASES, QUICK, SIDES, quick
from bertnp.cli.arguments import make_writable, note, number

EXAMPLES = """\
examples:
  bertnp bench --quick
  bertnp bench -o results
  bertnp bench training-step inference-1x16 --against torch --rounds 5
"""


def add_arguments(parser):
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"what to measure, of {', '.join(names())}; "
                        "default: all")  # fmt: skip
    parser.add_argument("-o", "--output", metavar="DIR", help="write bench.json and bench.png there")
    parser.add_argument("--quick", action="store_true", help="small models, few cases, one round: under a minute")
    parser.add_argument("--against", nargs="+", metavar="SIDE", choices=[*list(SIDES)[1:], "nothing"],
                        help=f"whom to compare with, of {', '.join(list(SIDES)[1:])}, nothing; default: all that are "
                        "installed")  # fmt: skip
    parser.add_argument("--rounds", type=number(int, 1), metavar="N", help="processes of each side (default: 3)")
    parser.add_argument("--time", type=number(float, 0, exclusive=True), metavar="SECONDS",
                        help="of work in each process, after warming up (default: 3)")  # fmt: skip
    parser.add_argument("--threads", type=number(int, 1), metavar="N", help="for every side (default: all cores)")


def names():
    return [case.name for case in CASES]


def run(args):
    unknown = [name for name in args.cases if name not in names()]
    if unknown:
        raise ValueError(f"there is no case {unknown[0]!r}; there are {', '.join(names())}")
    if args.output:
        make_writable(Path(args.output))
    chosen = args.cases or (QUICK if args.quick else names())
    cases = [case for case in CASES if case.name in chosen]
    cases = [quick(case) for case in cases] if args.quick else cases
    from bertnp.bench.report import case_lines, machine_lines
    from bertnp.bench.running import Runner

    record = begin(args)
    print("\n".join(machine_lines(record)) + "\n")
    rounds, seconds = args.rounds or (1 if args.quick else 3), args.time or (0.5 if args.quick else 3.0)
    progress = (lambda line: note(line)) if sys.stderr.isatty() else (lambda line: None)
    with Runner(record["machine"]["threads"], rounds, seconds, progress) as runner:
        for case in cases:
            found = runner.measure(case, [side for side in case.sides if side in (args.against or SIDES)])
            record["cases"].append(found)
            print("\n".join(case_lines(found, record["matrix_peak"])) + "\n", flush=True)
    if args.output:
        finish(record, Path(args.output))


def begin(args):
    """The record, with the machine in it."""
    from bertnp.backend.threads import core_count
    from bertnp.bench.machine import describe_machine
    from bertnp.bench.running import Runner

    threads = args.threads or core_count()
    record = {"machine": describe_machine(threads), "cases": []}
    with Runner(threads) as runner:
        answer = runner.process("ours", {"kind": "peak"})
    return record | {"matrix_peak": answer["matrix_peak"], "blas": answer["blas"]}


def finish(record, folder):
    from bertnp.backend.files import write_text

    write_text(folder / "bench.json", json.dumps(record, indent=2) + "\n")
