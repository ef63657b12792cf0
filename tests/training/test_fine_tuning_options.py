"""Class weights, smoothed labels, frozen layers, learning rates by layer, batches by length."""

import numpy as np
import pytest
from tiny_model import tiny_classifier, tiny_config, tiny_tokenizer, toy_sentences

import bertnp
from bertnp.backend import to_numpy
from bertnp.data import encode_texts, grouped_order, labelled_items
from bertnp.training import Trainer
from bertnp.training.trainer import layer_factors

WEIGHTS = [0.25, 2.0]


def examples(n=20, seed=0):
    texts, labels = zip(*toy_sentences(n, seed), strict=True)
    return encode_texts(tiny_tokenizer(), texts, labels=[int(label == "pos") for label in labels])


def model(**changes):
    still = {"num_hidden_layers": 2, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return tiny_classifier(dtype=np.float64, **still | {"problem_type": "single_label_classification"} | changes)


def train(model, examples, **options):
    trainer = Trainer(model, examples, **{"epochs": 1, "batch_size": 8, "lr": 1e-2, "warmup": 0} | options)
    trainer.train()
    return model.buffer.data


@pytest.mark.parametrize("pieces", [1, 3])
def test_pieces_of_a_batch_with_class_weights_are_the_whole(pieces):
    """A piece counts as much as the weights of its labels, not as many examples."""
    whole = train(model().set_loss(0.1, WEIGHTS), examples(), clip=None)
    cut = train(model().set_loss(0.1, WEIGHTS), examples(), clip=None, micro_batch_size=pieces)
    np.testing.assert_allclose(cut, whole, atol=1e-12)
    assert np.abs(whole - train(model().set_loss(0.1), examples(), clip=None)).max() > 1e-3
    small = [weight / 100 for weight in WEIGHTS]  # a weighted mean does not depend on the weights' size
    tiny = train(model().set_loss(0.1, small), examples(), clip=None, micro_batch_size=pieces)
    np.testing.assert_allclose(tiny, whole, atol=1e-10)
    assert labelled_items({"labels": np.array([1, 0, -100, 1])}, WEIGHTS) == {"labels": 4.25}
    assert labelled_items({"start_positions": np.zeros(3, int), "end_positions": np.zeros(3, int)}) == {"labels": 3}


def test_the_loss_that_was_set_is_the_formula():
    batch = examples().batch(np.arange(5))
    logits = model()(**batch).logits
    expected = bertnp.functional.weighted_cross_entropy(logits, batch["labels"], np.array(WEIGHTS), -100, 0.2)[0]
    assert model().set_loss(0.2, WEIGHTS)(**batch).loss == expected
    several = model(problem_type="multi_label_classification").set_loss(class_weights=WEIGHTS)
    truths = np.eye(2)[batch["labels"]]
    expected = bertnp.functional.weighted_binary_cross_entropy(logits, truths, np.array(WEIGHTS))
    assert several(**batch | {"labels": truths}).loss == expected
    spans = bertnp.BertForQuestionAnswering(tiny_config(), dtype=np.float64)
    places = {"start_positions": [1, 2], "end_positions": [3, 3], "input_ids": batch["input_ids"][:2]}
    out = spans.set_loss(0.3)(**places)
    by_hand = [bertnp.functional.cross_entropy(x, np.array(y), -100, 0.3)[0]
               for x, y in ((out.start_logits, [1, 2]), (out.end_logits, [3, 3]))]  # fmt: skip
    assert out.loss == pytest.approx(np.mean(by_hand), rel=1e-14)


@pytest.mark.parametrize(("kind", "options", "message"), [
    ("single_label_classification", {"label_smoothing": 1.0}, "label_smoothing: expected a number from 0 to below 1"),
    ("single_label_classification", {"class_weights": [1.0]}, "class_weights: expected 2 numbers of at least 0"),
    ("single_label_classification", {"class_weights": [1.0, -1]}, "class_weights: expected 2 numbers of at least 0"),
    ("multi_label_classification", {"label_smoothing": 0.1}, "multi_label_classification has no label smoothing"),
    ("regression", {"class_weights": WEIGHTS}, "regression has no class weights"),
])  # fmt: skip
def test_losses_that_make_no_sense(kind, options, message):
    with pytest.raises(ValueError, match=message):
        model(problem_type=kind).set_loss(**options)


def test_layers_have_learning_rates_of_their_own():
    factors = layer_factors(model(), 0.5)
    assert factors["bert.embeddings.word_embeddings.weight"] == factors["bert.embeddings.LayerNorm.bias"] == 0.25
    assert factors["bert.encoder.layer.0.output.dense.weight"] == 0.5
    assert factors["bert.encoder.layer.1.output.dense.weight"] == factors["classifier.weight"] == 1.0
    assert factors["bert.pooler.dense.weight"] == 1.0 and len(factors) == len(model().parameters())
    assert layer_factors(model()) == {}
    for options, message in (({"layer_decay": 0}, "layer_decay: expected a number above 0, up to 1, got 0"),
                             ({"freeze": 3}, "layers: expected 0 to 2 layers to freeze, got 3")):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            train(model(), examples(), **options)
    straight, decayed = model(), model()
    train(straight, examples(8), clip=None, weight_decay=0.0)
    train(decayed, examples(8), clip=None, weight_decay=0.0, layer_decay=0.5)
    first, start = model().buffer.data, {p.name: p for p in straight.parameters()}
    for parameter in decayed.parameters():  # one step of Adam: as far as the learning rate, whatever the gradient
        part = slice(parameter.start, parameter.start + parameter.size)
        moved, whole = (m.buffer.data[part] - first[part] for m in (decayed, straight))
        np.testing.assert_allclose(moved, whole * factors[parameter.name], atol=1e-15)
    assert start


@pytest.mark.parametrize("freeze", [0, 1, 2])
def test_frozen_layers_stay_and_the_others_learn_as_ever(freeze):
    """The gradients above are those without freezing; below there are none, and nothing moves, not by decay either."""
    frozen, batch = model(), examples().batch(np.arange(6))
    free = model()
    for one in (free, frozen):
        one.bert.freeze(freeze if one is frozen else None)
        one(**batch)
        dembeds = one.backward()
        assert (dembeds is None) == (one is frozen)
    factors = layer_factors(frozen, freeze=freeze)
    names = {name for name, factor in factors.items() if factor == 0}
    layers = {f"bert.encoder.layer.{i}" for i in range(freeze)}
    assert {n for n in names if "embeddings" not in n} == {
        n for n in factors if any(n.startswith(layer + ".") for layer in layers)
    }
    for (name, one), other in zip(frozen.named_parameters(), free.parameters(), strict=True):
        if name in names:
            assert not one.grad.any() and other.grad.any() == (not name.endswith("key.bias")) or "key.bias" in name
        else:
            np.testing.assert_array_equal(one.grad, other.grad)
    before = {p.name: to_numpy(p.data).copy() for p in frozen.parameters()}
    train(frozen, examples(), freeze=freeze, weight_decay=0.5)
    for parameter in frozen.parameters():
        same = np.array_equal(parameter.data, before[parameter.name])
        assert same == (parameter.name in names), parameter.name
    train(frozen, examples())  # and once more, with all that there is
    assert not any(np.array_equal(parameter.data, before[parameter.name]) for parameter in frozen.parameters())


def test_grouping_by_length_leaves_nothing_out_and_pads_less():
    lengths = np.random.default_rng(0).integers(3, 40, 211)
    order = grouped_order(lengths, 8, seed=1, epoch=2, batches_together=10)
    assert sorted(order.tolist()) == list(range(211))
    same, other = (grouped_order(lengths, 8, 1, epoch, 10).tolist() for epoch in (2, 3))
    assert order.tolist() == same != other

    def padded(order):
        return sum(len(rows) * lengths[rows].max() for rows in np.split(order, range(8, 211, 8)))

    assert padded(order) < 1.1 * lengths.sum() < 1.3 * lengths.sum() < padded(np.arange(211))
    firsts = [lengths[rows].max() for rows in np.split(order, range(8, 211, 8))]
    assert firsts != sorted(firsts) and firsts != sorted(firsts, reverse=True)  # batches are not in order of length
    grouped, plain = (train(model(), examples(), group_by_length=grouped) for grouped in (True, False))
    assert not np.array_equal(grouped, plain)
