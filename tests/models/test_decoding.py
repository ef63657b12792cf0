"""Greedy and beam search: the cache changes nothing, and a beam finds what it should."""

import itertools

import numpy as np
import pytest
from test_transformer import make_batch, make_model

import bertnp.functional as F
from bertnp.models.decoding import beam_search, greedy_search, length_penalty
from bertnp.nn import inference

EOS = 3


def untied(seed=0, dtype=np.float64, device=None, **changes):
    """A model that writes different words and ends sooner or later: what it reads counts for more than biases."""
    model = make_model("separate tables", seed, dtype, device, **changes)
    for name, parameter in model.decoder.named_parameters():
        if name.endswith("bias") or "output.dense" in name:
            parameter.data = parameter.data * 0.3
    return model


def inputs(seed=0):
    batch = make_batch(seed=seed)
    return batch["input_ids"], batch["attention_mask"]


def log_probabilities(model, ids, mask, written):
    """log p of each next word after each beginning of what was written, without a cache: (n, V)"""
    read = np.array([[model.config.bos_token_id, *written]])
    with inference():
        return F.log_softmax(model(ids, mask, decoder_input_ids=read).logits)[0]


def greedy_without_cache(model, ids, mask, most):
    written, total = [], 0.0
    while len(written) < most and EOS not in written:
        log_p = log_probabilities(model, ids, mask, written)[-1]
        written.append(int(log_p.argmax()))
        total += log_p.max()
    return written, total


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-10), ("float32", 1e-5)])
@pytest.mark.parametrize("norm_first", [False, True])
def test_the_cache_gives_the_tokens_and_probabilities_of_computing_all_again(dtype, tolerance, norm_first):
    endings = set()
    for seed in (1, 5, 6):
        model = untied(seed, dtype, norm_first=norm_first)
        ids, mask = inputs(seed)
        for b, found in enumerate(model.generate(ids, mask, max_length=12)):
            written, total = greedy_without_cache(model, ids[b : b + 1], mask[b : b + 1], 12)
            assert [*found.token_ids, *[EOS] * found.finished] == written
            assert abs(found.log_probability - total) <= tolerance * max(1, abs(total))
            endings.add(found.finished)
    assert endings == {True, False}


def test_a_beam_of_one_is_greedy():
    for seed in (1, 5, 6, 8):
        model, (ids, mask) = untied(seed), inputs(seed)
        for alone, (first, *others) in zip(
            greedy_search(model, ids, mask, max_length=10), beam_search(model, ids, mask, 1, max_length=10), strict=True
        ):
            assert not others and alone.token_ids.tolist() == first.token_ids.tolist()
            assert alone.finished == first.finished and abs(alone.score - first.score) < 1e-12


def test_a_batch_writes_what_each_source_writes_alone():
    model, (ids, mask) = untied(6), inputs(6)
    for beams in (1, 3):
        together = model.generate(ids, mask, beams, max_length=8)
        for b, found in enumerate(together):
            (alone,) = model.generate(ids[b : b + 1, : mask[b].sum()], None, beams, max_length=8)
            assert alone.token_ids.tolist() == found.token_ids.tolist()
            assert abs(alone.log_probability - found.log_probability) < 1e-10


def everything(model, ids, mask, most, alpha):
    """The best of all sequences of at most `most` words with an end, found by trying each."""
    words = [w for w in range(model.config.words_out) if w != EOS]
    best = (-np.inf, None)
    for n in range(most):
        for written in itertools.product(words, repeat=n):
            log_p = log_probabilities(model, ids, mask, written)
            total = log_p[np.arange(n + 1), [*written, EOS]].sum()
            best = max(best, (total / length_penalty(n + 1, alpha), written))
    return best


@pytest.mark.parametrize("alpha", [0.0, 1.5])
def test_a_beam_as_wide_as_the_vocabulary_finds_the_best(alpha):
    """Five words, of which one ends: a beam of 80 loses nothing in three steps, and looks at every sequence."""
    lengths = set()
    for seed in range(5):
        model = untied(seed, target_vocab_size=5)
        ids, mask = (values[1:2] for values in inputs(seed))
        score, written = everything(model, ids, mask, 3, alpha)
        ((best, *_),) = beam_search(model, ids, mask, 80, alpha, max_length=3)
        assert tuple(best.token_ids) == written and abs(best.score - score) < 1e-10
        lengths.add(len(written))
    assert len(lengths) > 1


def test_hypotheses_are_sorted_and_scored_by_their_length():
    model, (ids, mask) = untied(6), inputs(6)
    beams = beam_search(model, ids, mask, 4, alpha=0.6, max_length=9)
    assert sum(one.finished for beam in beams for one in beam) > 3
    for b, beam in enumerate(beams):
        assert 1 <= len(beam) <= 4 and not any(EOS in one.token_ids for one in beam)
        assert [one.score for one in beam] == sorted((one.score for one in beam), reverse=True)
        assert len({tuple(one.token_ids) for one in beam}) == len(beam)
        for one in beam:
            written = [*one.token_ids, *[EOS] * one.finished]
            log_p = log_probabilities(model, ids[b : b + 1], mask[b : b + 1], written)
            total = log_p[np.arange(len(written)), written].sum()
            assert abs(one.log_probability - total) < 1e-10
            assert abs(one.score - total / ((5 + len(written)) / 6) ** 0.6) < 1e-10


def test_lengths_end():
    model, (ids, mask) = untied(), inputs()
    for beams in (1, 2):
        assert all(len(one.token_ids) <= 4 for one in model.generate(ids, mask, beams, max_length=4))
        lengths = [len(one.token_ids) for one in model.generate(ids, mask, beams) if not one.finished]
        assert set(lengths) <= {50 + n for n in mask.sum(axis=1)}


def test_device_writes_what_the_host_writes():
    results = []
    for device in ("numpy", "strict"):
        model = untied(6, device=device)
        found = beam_search(model, *inputs(6), 3, max_length=6) + [model.generate(*inputs(6), max_length=6)]
        results.append([[(one.token_ids.tolist(), one.finished) for one in beam] for beam in found])
    assert results[0] == results[1]


def test_writing_leaves_a_backward_its_own_forward():
    model, batch = make_model(), make_batch()
    model(**batch)
    model.generate(batch["input_ids"], batch["attention_mask"], 2, max_length=3)
    model.backward()
    expected = make_model()
    expected(**batch)
    expected.backward()
    np.testing.assert_array_equal(model.buffer.grad, expected.buffer.grad)


@pytest.mark.parametrize("argument", ["num_beams", "max_length"])
def test_wrong_numbers_are_named(argument):
    with pytest.raises(ValueError, match=f"{argument}: expected a whole number of at least 1, got 0"):
        untied().generate(*inputs(), **{argument: 0})
