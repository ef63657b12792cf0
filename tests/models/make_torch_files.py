"""Makes tests/reference/torch_zip.bin and torch_legacy.bin, small files as PyTorch itself writes them.

python tests/models/make_torch_files.py
"""

from collections import OrderedDict
from pathlib import Path

import numpy as np

REFERENCE = Path(__file__).parents[1] / "reference"


def expected():
    """The arrays the files hold. Values are multiples of 1/8 below 4, exact in every float type."""
    base = np.arange(24, dtype=np.float32).reshape(4, 6) / 8
    return {
        "plain": base,
        "transposed": base.T,
        "slice": base[1:3, 2:5],
        "column": base[:, 1],
        "expanded": np.broadcast_to(base[0, 1], (3, 5)),
        "parameter": base[:2] + 1,
        "double": base[0].astype(np.float64) / 3,
        "half": base[1].astype(np.float16),
        "bfloat16": -base[:2],
        "bfloat16_view": -base[:2].T,
        "long": np.array([2**40, -1]),
        "int": np.array([[-3], [5]], np.int32),
        "short": np.array([-300, 300], np.int16),
        "char": np.array([-128, 127], np.int8),
        "byte": np.array([0, 255], np.uint8),
        "bool": np.array([[True, False, True]]),
        "scalar": np.float32(2.5),
        "empty": np.zeros((0, 3), np.float32),
    }


def tensors():
    """The same as tensors of PyTorch: the first five share a storage, and the two of bfloat16 do."""
    import torch

    made = OrderedDict((name, torch.tensor(array)) for name, array in expected().items())
    base = made["plain"]
    made["transposed"] = base.T
    made["slice"] = base[1:3, 2:5]
    made["column"] = base[:, 1]
    made["expanded"] = base[0, 1].expand(3, 5)
    made["parameter"] = torch.nn.Parameter(made["parameter"])
    made["bfloat16"] = made["bfloat16"].to(torch.bfloat16)
    made["bfloat16_view"] = made["bfloat16"].T
    made._metadata = OrderedDict([("", {"version": 1})])  # as a state_dict carries it
    return made


if __name__ == "__main__":
    import torch

    torch.save(tensors(), REFERENCE / "torch_zip.bin")
    torch.save(tensors(), REFERENCE / "torch_legacy.bin", _use_new_zipfile_serialization=False)
