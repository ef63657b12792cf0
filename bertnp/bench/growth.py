"""How the time of a training step grows with the batch B, the length S, the layers L and the hidden size H."""

import math
import statistics
import time

import numpy as np

import bertnp

START = {"B": 8, "S": 128, "L": 2, "H": 256}
VALUES = {"B": (4, 8, 16, 32), "S": (32, 64, 128, 256, 512), "L": (1, 2, 4, 8), "H": (128, 256, 512, 1024)}


def growth(seconds=0.5):
    """{letter: {"values": [...], "seconds": [...], "slopes": [...], "slope": number}}, the other letters as in START.

    seconds: forwards and backwards at each point take about so long, and their median counts. `slopes` are those
    between neighbours in log-log coordinates, `slope` that of the straight line through all points.
    """
    found = {}
    for letter, values in VALUES.items():
        times = [step_seconds(**{**START, letter: value}, enough=seconds) for value in values]
        x, y = np.log(values), np.log(times)
        found[letter] = {
            "values": list(values), "seconds": times, "slopes": (np.diff(y) / np.diff(x)).tolist(),
            "slope": float(np.polyfit(x, y, 1)[0]),
        }  # fmt: skip
    return {"start": START, "letters": found}


def step_seconds(B, S, L, H, enough):
    """The median time of forward and backward on a full batch."""
    A, I = max(1, H // 64), 4 * H
    config = bertnp.BertConfig(
        vocab_size=1000, hidden_size=H, num_hidden_layers=L, num_attention_heads=A, intermediate_size=I
    )
    model = bertnp.BertForSequenceClassification(config).train()
    ids = np.random.default_rng(0).integers(0, 1000, (B, S))
    times = []
    while len(times) < 4 or math.fsum(times) < enough:
        began = time.perf_counter()
        model(ids, labels=ids[:, 0] % 2)
        model.backward()
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])
