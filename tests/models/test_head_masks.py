"""Heads turned down: outputs, gradients by the mask, and what stays as it was."""

import numpy as np
import pytest
from tiny_model import tiny_config

import bertnp
from bertnp import head_mask
from bertnp.models.head_masks import head_gradients

L, A, B = 3, 4, 3
IDS = np.array([[2, 5, 14, 9, 3, 0], [2, 18, 3, 0, 0, 0], [2, 6, 6, 21, 11, 3]])
KEEP = (IDS != 0).astype(int)
LABELS = {
    "BertForSequenceClassification": np.array([1, 0, 1]),
    "BertForTokenClassification": np.where(KEEP == 1, IDS % 2, -100),
}


def build(kind="BertForSequenceClassification", dtype=np.float64, **options):
    """A model with several heads whose gradients are not small."""
    config = tiny_config(num_hidden_layers=L, num_attention_heads=A, initializer_range=0.5)
    return getattr(bertnp, kind)(config, dtype=dtype, seed=5, **options).eval()


def loss(model, mask, rows=slice(None)):
    with head_mask(model, mask):
        labels = LABELS[type(model).__name__][rows]
        return float(model(IDS[rows], KEEP[rows], labels=labels).loss)


@pytest.fixture
def mask():
    return np.random.default_rng(0).normal(size=(L, A)) + 1


@pytest.mark.parametrize("kind", LABELS)
def test_gradients_by_the_mask_are_differences_of_the_loss(kind, mask):
    """Summed over the sequences; under the mask of padding, and in a last layer that computes but one row."""
    model, h = build(kind), 1e-6
    loss(model, mask)
    with head_mask(model, mask):
        model(IDS, KEEP, labels=LABELS[kind])
        model.backward()
        found = head_gradients(model)
    assert found.shape == (B, L, A)
    for place in np.ndindex(L, A):
        step = np.zeros((L, A))
        step[place] = h
        difference = (loss(model, mask + step) - loss(model, mask - step)) / (2 * h)
        assert found[:, *place].sum() == pytest.approx(difference, abs=1e-8), place
    assert (np.abs(found.sum(axis=0)) > 1e-4).all()


def test_each_sequence_has_the_gradient_it_has_alone(mask):
    model = build()

    def gradients(rows):
        with head_mask(model, mask):
            model(IDS[rows], KEEP[rows], labels=LABELS["BertForSequenceClassification"][rows])
            model.backward()
            return head_gradients(model)

    together = gradients([0, 1, 2])
    for row in range(B):
        assert together[row] * B == pytest.approx(gradients([row])[0], abs=1e-12)


def test_a_head_taken_out_is_one_whose_output_weights_are_zero():
    model = build("BertModel")
    mask = np.ones((L, A))
    mask[1, 2] = 0
    before = model(IDS, KEEP).last_hidden_state
    with head_mask(model, mask):
        masked = model(IDS, KEEP).last_hidden_state
    D = 16 // A
    model.encoder.layer[1].attention.output.dense.weight.data[:, 2 * D : 3 * D] = 0
    assert masked == pytest.approx(model(IDS, KEEP).last_hidden_state, abs=1e-12)
    assert abs(masked - before).max() > 0.01


def test_gradients_of_the_weights_go_through_the_mask(mask):
    """Those of the query weights of one head, by differences."""
    model, h = build(), 1e-6
    with head_mask(model, mask):
        model(IDS, KEEP, labels=LABELS["BertForSequenceClassification"])
        model.backward()
    weight = model.bert.encoder.layer[0].attention.self.query.weight
    found = weight.grad[5, 3]
    weight.data[5, 3] += h
    above = loss(model, mask)
    weight.data[5, 3] -= 2 * h
    assert found == pytest.approx((above - loss(model, mask)) / (2 * h), abs=1e-8) and abs(found) > 1e-5


def test_ones_change_nothing_and_the_mask_goes_with_the_block(mask):
    model = build(dtype=np.float32)
    plain = model(IDS, KEEP).logits
    with head_mask(model, np.ones((L, A))):
        assert np.array_equal(model(IDS, KEEP).logits, plain)
        with head_mask(model, mask), bertnp.inference():
            assert not np.allclose(model(IDS, KEEP).logits, plain)
        assert np.array_equal(model(IDS, KEEP).logits, plain)
    with pytest.raises(ZeroDivisionError), head_mask(model, mask):
        raise ZeroDivisionError
    assert np.array_equal(model(IDS, KEEP).logits, plain)
    assert all(layer.attention.self.head_mask is None for layer in model.bert.encoder.layer)


def test_masks_on_a_device_that_holds_to_its_own_arrays(device, mask):
    results = []
    for where in ("cpu", device):
        model = build(device=where)
        with head_mask(model, mask):
            model(IDS, KEEP, labels=LABELS["BertForSequenceClassification"])
            model.backward()
            results.append(head_gradients(model))
    assert results[1] == pytest.approx(results[0], abs=1e-12)


def test_what_is_wrong_is_named(mask):
    model = build()
    for wrong in (np.ones((A, L)), np.ones(A), np.full((L, A), "1")):
        with pytest.raises(ValueError, match=r"mask: expected numbers of shape \(3, 4\), layers by heads, got "):
            with head_mask(model, wrong):
                pass
    with pytest.raises(RuntimeError, match="need a backward of the model inside head_mask"), head_mask(model, mask):
        model(IDS, KEEP)
        head_gradients(model)
    with pytest.raises(RuntimeError, match="need a backward"):
        head_gradients(model)
