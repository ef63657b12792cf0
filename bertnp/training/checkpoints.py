"""Checkpoints: everything a training needs to go on as if it had never stopped.

    RUN/checkpoints/step-00000500/
        config.json, model.safetensors    the model as it was after step 500, for `from_pretrained`, too
        trainer.safetensors               the optimiser's moments, flat ("mean", "variance"); the weights of the best
                                          evaluation so far ("best"), where that was an earlier one
        trainer.json                      steps done, running means, the record, the place of the data's random
                                          generator, and where it ran

A checkpoint is written into a folder of another name, forced to the disk and then renamed: one that is there is whole.
"""

import json
import os
import platform
import re
import secrets
import shutil
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from bertnp import blas
from bertnp.backend.files import atomic_folder, remove_leftovers, write_text

FOLDER = "checkpoints"
TENSORS = "trainer.safetensors"
STATE = "trainer.json"
FORMAT = 1
NAME = re.compile(r"step-(\d{8,})")


def checkpoints(run):
    """The checkpoints of a run's folder, the oldest first: [(step, folder), ...]."""
    folder = Path(run) / FOLDER
    if not folder.is_dir():
        return []
    named = ((NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted((int(name[1]), path) for name, path in named if name)


def write_checkpoint(run, step, model, tokenizer, state, tensors, keep):
    """Write the checkpoint of this step, then remove all but the newest `keep`.

    state: what JSON can hold   tensors: {name: array}. Raises OSError naming the last good checkpoint if it can't.
    """
    target = Path(run) / FOLDER / f"step-{step:08}"
    try:
        remove_leftovers(target.parent)
        with atomic_folder(target) as folder:
            model.save_pretrained(folder)
            if tokenizer is not None:
                tokenizer.save_pretrained(folder)
            save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, folder / TENSORS)
            write_text(folder / STATE, json.dumps({"format": FORMAT, **state}) + "\n")
    except (OSError, SafetensorError) as error:
        written = [path for number, path in checkpoints(run) if number != step]
        good = f"the last good checkpoint is {written[-1]}" if written else "there is no earlier checkpoint"
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise OSError(f"the checkpoint {target} can't be written ({why}); {good}") from error
    for _, old in checkpoints(run)[:-keep]:
        remove_folder(old)
    return target


def read_checkpoint(folder):
    """The state and the tensors of a checkpoint. Raises ValueError naming the file if it can't be read."""
    folder = Path(folder)
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder / STATE}: not a checkpoint's state ({error})") from None
    if state.get("format") != FORMAT:
        found = state.get("format")
        raise ValueError(f"{folder / STATE}: the checkpoint is of format {found}; this version reads format {FORMAT}")
    try:
        tensors = load_file(folder / TENSORS)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{folder / TENSORS}: the moments can't be read ({error})") from None
    return state, tensors


def remove_folder(folder):
    """Remove a checkpoint. It loses its name first, so that half of one is never taken for a whole."""
    gone = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}.old")
    os.replace(folder, gone)
    shutil.rmtree(gone, ignore_errors=True)


def remove_checkpoints(run):
    """Remove all checkpoints of a run."""
    for _, folder in checkpoints(run):
        remove_folder(folder)
    folder = Path(run) / FOLDER
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def environment(model):
    """What the last bits of a result depend on beside the program: versions, processor, threads."""
    from bertnp import __version__

    threads = {name: os.environ.get(name) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    found = {
        "bertnp": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "blas": blas_name(),
        "threads": {name: value for name, value in threads.items() if value},
        "device": model.device,
    }
    if getattr(getattr(model.buffer.backend, "device", None), "tf32", False):
        found["tf32"] = True  # matrix products of float32 are rounded to TF32
    return found


def blas_name():
    """What NumPy multiplies matrices with, as far as it says."""
    build = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    name = " ".join(str(build.get(key)) for key in ("name", "version") if build.get(key)) or "unknown"
    return f"{name}, {blas.kernels()} kernels" if blas.kernels() else name


def differences(before, now):
    """What differs between two dictionaries, in words: ["lr was 0.001 and is now 0.01", ...]."""
    names = [*before, *(name for name in now if name not in before)]
    found = []
    for name in names:
        old, new = before.get(name), now.get(name)
        if old != new:
            found.append(f"{name} was {old if old is not None else 'not set'} and is now "
                         f"{new if new is not None else 'not set'}")  # fmt: skip
    return found
