"""Importance of heads: by definition, one example after the other; and curves of taking heads out."""

import numpy as np
import pytest
from tiny_model import tiny_config

import bertnp
from bertnp import head_mask
from bertnp.data import EncodedTexts
from bertnp.training.head_importance import ablation_curve, head_importance

ROWS = [[2, 5, 14, 9, 3], [2, 18, 3], [2, 6, 6, 21, 11, 3], [2, 7, 3], [2, 9, 20, 3]]
L, A = 2, 4


class Tokens(EncodedTexts):
    """Labels for every token but special ones; the third example has none."""

    def batch(self, rows):
        batch = self.inputs(rows)
        inside = (batch["input_ids"] > 3) & (np.asarray(rows) != 2)[:, None]
        return batch | {"labels": np.where(inside, batch["input_ids"] % 2, -100)}


def build(kind, **changes):
    config = tiny_config(num_hidden_layers=L, num_attention_heads=A, initializer_range=0.5, **changes)
    return getattr(bertnp, kind)(config, dtype=np.float64, seed=5).eval()


def examples(kind, labels=(1, 0, 1, 1, 0)):
    types = [[0] * len(row) for row in ROWS]
    return Tokens(ROWS, types) if "Token" in kind else EncodedTexts(ROWS, types, labels)


def slow_importance(model, examples):
    """The mean size of the loss's slope by each head's factor, by differences, one example after the other."""
    h, found = 1e-6, np.zeros((L, A))
    for row in range(len(examples)):
        batch = examples.batch([row])
        if (np.asarray(batch["labels"]) == -100).all():
            continue
        for place in np.ndindex(L, A):
            losses = []
            for side in (h, -h):
                mask = np.ones((L, A))
                mask[place] += side
                with head_mask(model, mask):
                    losses.append(float(model(**batch).loss))
            found[place] += abs(losses[0] - losses[1]) / (2 * h) / len(examples)
    return found


@pytest.mark.parametrize("kind", ["BertForSequenceClassification", "BertForTokenClassification"])
def test_importance_is_the_mean_size_of_each_examples_own_gradient(kind):
    model, seen = build(kind), []
    found = head_importance(model, examples(kind), batch_size=2, by_layer=False, progress=seen.append)
    assert found == pytest.approx(slow_importance(model, examples(kind)), abs=1e-8)
    assert found.min() > 1e-4 and sum(seen) == len(ROWS)
    by_layer = head_importance(model, examples(kind), batch_size=5)
    assert by_layer == pytest.approx(found / np.sqrt((found**2).sum(axis=1, keepdims=True)), abs=1e-10)


def test_several_labels_and_numbers():
    labels = np.random.default_rng(1).random((5, 3)).round()
    model = build("BertForSequenceClassification", num_labels=3, problem_type="multi_label_classification")
    several = examples("", labels)
    expected = slow_importance(model, several)
    assert head_importance(model, several, 3, by_layer=False) == pytest.approx(expected, abs=1e-8)
    model = build("BertForSequenceClassification", num_labels=1, problem_type="regression")
    numbers = examples("", labels[:, 0])
    expected = slow_importance(model, numbers)
    assert head_importance(model, numbers, 3, by_layer=False) == pytest.approx(expected, abs=1e-8)


def test_the_model_is_left_as_it_was():
    model = build("BertForSequenceClassification").train()
    before = model.buffer.data.copy()
    first = head_importance(model, examples(""))
    assert model.training and np.array_equal(model.buffer.data, before)
    assert not any(parameter.grad.any() for parameter in model.parameters())
    assert np.array_equal(head_importance(model, examples("")), first), "dropout is off"
    assert model.bert.encoder.layer[0].attention.self.head_mask is None
    with pytest.raises(ValueError, match="there are no examples"):
        head_importance(model, EncodedTexts([], [], np.zeros(0, int)))


def test_heads_are_taken_out_in_order():
    importance = np.array([[0.3, 0.1, 0.9], [0.2, 0.8, 0.5]])
    curve = ablation_curve(lambda mask: (mask * importance).sum(), importance, steps=3)
    assert curve == [(0, pytest.approx(2.8)), (2, pytest.approx(2.5)), (4, pytest.approx(1.7)), (6, 0.0)]
    other = ablation_curve(lambda mask: (mask * importance).sum(), importance, 3, most_important_first=True)
    assert other == [(0, pytest.approx(2.8)), (2, pytest.approx(1.1)), (4, pytest.approx(0.3)), (6, 0.0)]
    masks = []
    ablation_curve(masks.append, importance, 100, rng=np.random.default_rng(0))
    assert [int((mask == 0).sum()) for mask in masks] == list(range(7))
    gone = [np.flatnonzero(mask == 0) for mask in masks]
    assert all(set(a) < set(b) for a, b in zip(gone, gone[1:], strict=False)), "who is out stays out"
    assert gone[1][0] != 1, "the seed's order is not that of importance"
    with pytest.raises(ValueError, match="steps: expected at least 1, got 0"):
        ablation_curve(masks.append, importance, 0)
