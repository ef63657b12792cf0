"""`bertnp` in several processes, one of which fails: FAIL is "RANK STEP PLACE HOW", say "1 7 train_step kill"."""

import os
import signal
import sys
import time

from bertnp.cli import main
from bertnp.training import trainer
from bertnp.training.processes import Processes, find

PLACES = {"train_step": trainer.Trainer, "add_up": Processes, "read": trainer.Trainer, "write_checkpoint": trainer}


def fail(how):
    if how == "kill":
        print("killed at", time.time(), file=sys.__stdout__, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "interrupt":
        signal.raise_signal(signal.SIGINT)
    if how == "error":
        raise RuntimeError("something\nwent wrong")


def main_that_fails(rank, step, place, how):
    whole, steps = getattr(PLACES[place], place), 0

    def broken(*args, **options):
        nonlocal steps
        steps += 1
        if find().rank == rank and steps == step:
            fail(how)
        return whole(*args, **options)

    setattr(PLACES[place], place, broken)
    return main()


if __name__ == "__main__":
    rank, step, place, how = os.environ["FAIL"].split()
    sys.exit(main_that_fails(int(rank), int(step), place, how))
