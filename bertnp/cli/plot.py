"""Draw the curves of a training, finished or still running: loss and right answers against the steps."""

from pathlib import Path

from bertnp.cli.arguments import writable_file
from bertnp.training.trainer import LOG_FILE, read_log

EXAMPLES = """\
examples:
  bertnp plot my-run
  bertnp plot my-run -o curves.png
"""
PICTURE = "training_curves.png"


def add_arguments(parser):
    parser.add_argument("run", metavar="RUN", help="the folder that a training writes to (or its metrics.jsonl)")
    parser.add_argument("-o", "--output", type=writable_file, metavar="FILE.png", help=f"default: RUN/{PICTURE}")


def run(args):
    from bertnp import plotting

    log = Path(args.run)
    log = log / LOG_FILE if log.is_dir() else log
    if not log.is_file():
        raise FileNotFoundError(f"there is no log {log}; `bertnp pretrain` and `bertnp finetune` write one")
    lines = read_log(log)
    if not any("loss" in line for line in lines):
        raise ValueError(f"{log}: there is no line with a loss in it yet")
    path = args.output or log.parent / PICTURE
    plotting.training_curves(lines, path)
    last = max(line["step"] for line in lines)
    print(f"drawn up to step {last:,}: {path}")
