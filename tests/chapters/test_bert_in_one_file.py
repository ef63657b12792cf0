"""BERT in one file is BERT: its loss and every gradient are the library's, and so is a step of its optimiser."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bertnp import AdamW, BertConfig, BertForPreTraining

ROOT = Path(__file__).parents[2]
FILE = ROOT / "chapters" / "bert_in_one_file.py"
B, S, V, H, L, A, I = 3, 7, 23, 12, 2, 3, 20


@pytest.fixture(scope="module")
def one_file():
    specification = importlib.util.spec_from_file_location("bert_in_one_file", FILE)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def model():
    config = BertConfig(
        vocab_size=V, hidden_size=H, num_hidden_layers=L, num_attention_heads=A, intermediate_size=I,
        max_position_embeddings=9, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = BertForPreTraining(config, dtype=np.float64).train()
    rng = np.random.RandomState(1)
    for _, parameter in model.named_parameters():  # γ is not 1, no bias 0
        parameter.data = (parameter.init == "ones") + 0.4 * rng.randn(*parameter.shape)
    return model


def a_batch():
    """Repeated words, padding of two lengths, both segments; a padding id that is a word as well."""
    rng = np.random.RandomState(2)
    ids = rng.randint(0, V, (B, S))
    ids[:, 1] = ids[0, 2] = 5
    ids[0, 3] = 0
    mask = np.ones((B, S), int)
    mask[1, 5:] = mask[2, 3:] = 0
    labels = np.full((B, S), -100)
    labels[[0, 0, 1, 2], [1, 4, 2, 0]] = [7, 0, 5, 7]
    return ids, (np.arange(S) > 2) + 0 * ids, mask, labels, np.array([0, 1, 1])


def run(one_file, model, p=0.0, rng=None):
    P = {name: parameter.data.copy() for name, parameter in model.named_parameters()}
    loss, kept = one_file.forward(P, *a_batch(), A, p, rng)
    return P, loss, one_file.backward(P, kept)


def test_loss_and_every_gradient_are_the_librarys(one_file, model):
    P, loss, G = run(one_file, model)
    ids, types, mask, labels, answers = a_batch()
    out = model(ids, attention_mask=mask, token_type_ids=types, labels=labels, next_sentence_label=answers)
    model.backward()
    assert abs(loss - float(out.loss)) < 1e-12
    assert set(G) == {name for name, _ in model.named_parameters()}
    for name, parameter in model.named_parameters():
        largest = np.abs(parameter.grad).max()
        assert np.abs(G[name] - parameter.grad).max() < 1e-12 * max(1.0, largest), name
        assert largest > 1e-3 or name.endswith("key.bias"), name  # nothing is compared with zeros, but where it is 0

    optimizer, state = AdamW(model, lr=0.01), {}
    for _ in range(2):
        optimizer.step()
        one_file.adamw(P, G, state, lr=0.01)
    for name, parameter in model.named_parameters():
        if not name.endswith("key.bias"):  # Adam makes steps of its rounding errors
            assert np.abs(P[name] - parameter.data).max() < 1e-10, name


def test_gradients_with_dropout_are_slopes(one_file, model):
    P, _, G = run(one_file, model, 0.25, np.random.RandomState(3))
    rng = np.random.RandomState(4)
    for name in P:
        v, losses = rng.randn(*P[name].shape), []
        if name == one_file.WORDS:
            v[0] = 0  # the padding row learns nothing from being read, though the loss depends on it
        for h in (1e-6, -1e-6):
            moved = {**P, name: P[name] + h * v}
            losses.append(one_file.forward(moved, *a_batch(), A, 0.25, np.random.RandomState(3))[0])
        slope = (losses[0] - losses[1]) / 2e-6
        assert abs((G[name] * v).sum() - slope) < 1e-7 * max(1.0, abs(slope)), name


def test_new_parameters_are_those_of_a_new_model(one_file, model):
    P = one_file.new_parameters(V, H, L, I, positions=9)
    assert {n: v.shape for n, v in P.items()} == {n: tuple(p.shape) for n, p in model.named_parameters()}
    for name, parameter in model.named_parameters():
        if parameter.init != "normal":
            assert (P[name] == (parameter.init == "ones")).all(), name
        elif P[name].size > 200:
            assert 0.015 < P[name].std() < 0.025, name


def test_is_short_needs_numpy_alone_and_learns(tmp_path):
    text = FILE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 250
    assert [line for line in text.splitlines() if line.startswith(("import", "from"))] == [
        "import math", "import numpy as np",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "OPENBLAS_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, str(FILE)], cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8"
    )
    assert result.returncode == 0, result.stderr
    losses = [float(line.split()[3]) for line in result.stdout.splitlines()]
    assert abs(losses[0] - np.log(100)) < 0.3 and losses[-1] < 0.1
