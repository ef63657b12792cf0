from dataclasses import replace

import numpy as np
import pytest

from bertnp.bench.batches import make_batches, make_lines
from bertnp.bench.cases import CASES, SIDES, Case, operations, quick

TINY = {"vocab_size": 1200, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12}


def tiny(name):
    case = next(case for case in CASES if case.name == name)
    return replace(case, config=TINY, batch_size=3, length=case.length and 10, count=2)


@pytest.fixture(autouse=True)
def without_real_data(monkeypatch):
    monkeypatch.delenv("BERTNP_DATA", raising=False)
    monkeypatch.delenv("BERTNP_CHECKPOINTS", raising=False)


def test_names_are_unique_and_sides_are_known():
    assert len({case.name for case in CASES}) == len(CASES)
    for case in CASES:
        assert set(case.goals) <= set(case.sides) <= set(SIDES)
        assert set(quick(case).sides) <= set(case.sides) and not quick(case).goals


def multiplications(n, config):
    """Of one sequence's forward without heads, counted product by product: rows · inner · columns."""
    H, A, I = config["hidden_size"], config["num_attention_heads"], config["intermediate_size"]
    D = H // A
    layer = 3 * n * H * H + A * n * D * n + A * n * n * D + n * H * H + n * H * I + n * I * H
    return config["num_hidden_layers"] * layer + H * H


def test_operations_are_those_of_the_products():
    inference = Case("a", "", "inference", TINY)
    assert operations(inference, [5, 3]) == 2 * (multiplications(5, TINY) + multiplications(3, TINY))
    H, V = TINY["hidden_size"], TINY["vocab_size"]
    training = Case("a", "", "pretraining", TINY)
    expected = 3 * 2 * (multiplications(5, TINY) + 4 * (H * H + H * V))
    assert operations(training, [5], labelled=4) == expected


def test_base_takes_what_its_sizes_say():
    """7.08 million multiply-adds a token and layer, and attention: 174 GFLOP for 8 × 128 tokens."""
    base = next(case for case in CASES if case.name == "inference-8x128")
    assert operations(base, [128] * 8) == pytest.approx(174e9 + 12 * 8 * 4 * 128 * 128 * 768, rel=0.005)


@pytest.mark.parametrize("name", ["training-step", "fine-tuning", "inference-1x16", "sentences"])
def test_batches(name):
    case = tiny(name)
    arrays, lengths, labelled, source = make_batches(case)
    again = make_batches(case)[0]
    assert source == "made up" and all(np.array_equal(arrays[key], again[key]) for key in arrays)
    assert sum(arrays[f"attention_mask.{i}"].sum() for i in range(2)) == sum(lengths) and len(lengths) == 6
    assert (case.length is None) or set(lengths) == {case.length}
    for i in range(2):
        ids, mask = arrays[f"input_ids.{i}"], arrays[f"attention_mask.{i}"]
        assert ids.shape == mask.shape and ids.min() >= 0 and ids.max() < 1200 and (ids[mask == 0] == 0).all()
        if name == "training-step":
            labels = arrays[f"labels.{i}"]
            assert (labels[mask == 0] == -100).all() and set(arrays[f"next_sentence_label.{i}"]) <= {0, 1}
    if name == "training-step":
        assert labelled == sum((arrays[f"labels.{i}"] != -100).sum() for i in range(2)) == 6 * round(0.15 * 10)


def test_made_up_lines_are_made_of_the_vocabulary():
    lines, vocabulary, source = make_lines(replace(tiny("tokenizing"), count=50))
    assert len(lines) == 50 and source == "made up" and len(set(vocabulary)) == len(vocabulary)
    known = sum(word.strip(".").lower() in set(vocabulary) for line in lines for word in line.split())
    assert known / sum(len(line.split()) for line in lines) > 0.5


@pytest.mark.data
def test_real_sentences(monkeypatch, data_dir, checkpoint_dir):
    monkeypatch.setenv("BERTNP_DATA", str(data_dir))
    monkeypatch.setenv("BERTNP_CHECKPOINTS", str(checkpoint_dir))
    case = next(case for case in CASES if case.name == "sentences")
    arrays, lengths, _, source = make_batches(case)
    assert source == "sentiment_mr" and len(lengths) == 256 and 20 < np.mean(lengths) < 35
    lines, _, source = make_lines(replace(tiny("tokenizing"), count=50))
    assert source == "books" and len(lines) == 50
