"""A command that runs in several processes at once: the first one speaks for all, and an error in any one ends all."""

import contextlib
import os
import sys
import time
import traceback

from bertnp.training.interruption import Stopped


def run_in_all(command, processes):
    """Call `command` in each of `processes`, with what all but the first one print thrown away; returns its result.

    An exception in one process is told in one line, by the first process if it has it, too, and then all are ended.
    """
    try:
        with contextlib.nullcontext() if processes.first else silence():
            result = command()
        processes.part()
        return result
    except SystemExit:  # argparse ends so after --help, everywhere
        raise
    except Stopped:  # everywhere, too
        processes.part()
        raise
    except KeyboardInterrupt:
        processes.end(130)
    except BaseException as error:
        if not processes.first:
            give_way(error, processes)
        if os.environ.get("BERTNP_DEBUG") == "1":
            traceback.print_exc()
        print(f"bertnp: error: {told(error, processes)}", file=sys.stderr, flush=True)
        processes.end(2)


@contextlib.contextmanager
def silence():
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            yield


def give_way(error, processes):
    """Wait long enough for processes of lower rank that have the same error to tell it, and to end this one.

    A loss that is not finite is seen by all, and the first one draws its pictures before it tells.
    """
    time.sleep(30 if isinstance(error, FloatingPointError) else 1 + 2 * processes.rank / processes.size)


def told(error, processes):
    from bertnp.cli import TOLD, one_line

    kind = "" if isinstance(error, TOLD) else f"{type(error).__name__}: "
    where = "" if processes.first else f"in process {processes.rank} of 0 to {processes.size - 1}: "
    return where + kind + one_line(error)
