"""Padding taken out and put back, and dropout masks that depend on nothing but their key."""

import threading

import numpy as np
import pytest

from bertnp.backend import get_backend, to_numpy
from bertnp.nn import Dropout, DropoutStreams, Packing, Queries
from bertnp.nn.packing import philox

keep = np.array([[1, 1, 0, 1, 0, 0], [1, 1, 1, 1, 0, 1], [0, 0, 1, 0, 0, 0]], bool)
B, S, K, T = 3, 6, 5, 9
rng = np.random.default_rng(0)


def test_sizes():
    packing = Packing(keep)
    assert (packing.B, packing.S, packing.K, packing.T) == (B, S, K, T)
    assert packing.lengths.tolist() == [3, 5, 1] and packing.starts.tolist() == [0, 3, 8]
    assert packing.rows.tolist() == [0, 1, 3, 6, 7, 8, 9, 11, 14]


def test_pad_puts_rows_at_their_positions(device):
    x = rng.normal(size=(T, 4))
    packing = Packing(keep)
    padded = packing.pad(get_backend(device).asarray(x))
    expected = np.zeros((B, S, 4))
    expected[keep] = x
    np.testing.assert_array_equal(to_numpy(padded), expected)
    np.testing.assert_array_equal(to_numpy(packing.unpad(padded)), x)


def test_core_has_each_sequence_at_its_front(device):
    x = rng.normal(size=(T, 4))
    packing = Packing(keep)
    core = packing.to_core(get_backend(device).asarray(x))
    expected = np.zeros((B, K, 4))
    for b, (start, length) in enumerate([(0, 3), (3, 5), (8, 1)]):
        expected[b, :length] = x[start : start + length]
    np.testing.assert_array_equal(to_numpy(core), expected)
    np.testing.assert_array_equal(to_numpy(packing.from_core(core)), x)


def test_nothing_is_moved_where_nothing_is_padded():
    full = Packing(np.ones((2, 3), bool))
    x = rng.normal(size=(6, 4))
    assert full.mask is None
    for there, back in ((full.pad, full.unpad), (full.to_core, full.from_core)):
        assert np.shares_memory(there(x), x) and there(x).shape == (2, 3, 4)
        np.testing.assert_array_equal(back(there(x)), x)


def test_mask_of_the_core():
    np.testing.assert_array_equal(Packing(keep).mask[:, 0, 0], np.arange(K) < np.array([[3], [5], [1]]))
    key_mask = keep.copy()
    key_mask[1, 2] = False
    mask = Packing(keep, key_mask).mask
    assert mask.shape == (B, 1, 1, K)
    assert mask[:, 0, 0].astype(int).tolist() == [[1, 1, 1, 0, 0], [1, 1, 0, 1, 1], [1, 0, 0, 0, 0]]
    by_query = rng.random((2, 4, 4)) < 0.5
    np.testing.assert_array_equal(Packing(np.ones((2, 4), bool), by_query).mask, by_query[:, None])
    assert Packing(np.ones((2, 4), bool), np.ones((2, 4, 4), bool)).mask is None


def test_attention_is_padded_on_both_axes(device):
    heads = 2
    probabilities = rng.random((B, heads, K, K))
    expected = np.zeros((B, heads, S, S))
    for b in range(B):
        places = np.flatnonzero(keep[b])
        n = len(places)
        expected[b][:, places[:, None], places] = probabilities[b, :, :n, :n]
    padded = Packing(keep).pad_attention(get_backend(device).asarray(probabilities))
    np.testing.assert_array_equal(to_numpy(padded), expected)


# dropout


def streams(seed=0, step=0):
    made = DropoutStreams(seed)
    made.step = step
    return made


def test_masks_are_a_function_of_their_key():
    base = streams().keep(0.3, (40, 50), site=1, example=2)
    assert base.dtype == bool and base.shape == (40, 50)
    np.testing.assert_array_equal(base, streams().keep(0.3, (40, 50), site=1, example=2))
    others = [
        streams(seed=1).keep(0.3, (40, 50), 1, 2),
        streams(step=1).keep(0.3, (40, 50), 1, 2),
        streams().keep(0.3, (40, 50), 2, 2),
        streams().keep(0.3, (40, 50), 1, 3),
        streams().keep(0.3, (40, 50), 2, 1),
    ]
    for i, one in enumerate([base, *others]):
        for other in others[i:]:
            assert 0.3 < (one == other).mean() < 0.75, "no two alike"


def test_masks_never_change():
    """A training that goes on from a checkpoint, on another computer or NumPy, drops what it would have dropped."""
    kept = streams(seed=3, step=4).keep(0.5, (24,), site=1, example=2)
    assert "".join(str(int(k)) for k in kept) == "001111001100110000111010"


@pytest.mark.parametrize("p", [0.0, 0.1, 0.25, 0.5, 0.9])
def test_rates(p):
    kept = streams().keep(p, (500, 401), 0, 0)
    assert abs(kept.mean() - (1 - p)) < 4 * np.sqrt(p * (1 - p) / kept.size) + 1e-5


@pytest.mark.parametrize("shape", [(1,), (3,), (5, 7), (2, 3, 3)])
def test_any_shape(shape):
    assert streams().keep(0.5, shape, 0, 0).shape == shape


def test_an_example_s_masks_do_not_depend_on_the_rest_of_the_batch():
    """Alone, as the second of the global batch, the middle sequence draws what it draws among the three."""
    dropout = Dropout(0.4)
    dropout.site = 5
    together = Packing(keep, streams=streams(), first_example=0)
    alone = Packing(keep[1:2], streams=streams(), first_example=1)
    np.testing.assert_array_equal(together.draw_tokens(8)(dropout)[3:8], alone.draw_tokens(8)(dropout))
    np.testing.assert_array_equal(together.draw_sequences(8)(dropout)[1:2], alone.draw_sequences(8)(dropout))
    np.testing.assert_array_equal(together.draw_attention(2)(dropout)[1:2], alone.draw_attention(2)(dropout))
    short, short_alone = together.draw_attention(2)(dropout)[0], Packing(keep[:1], streams=streams())
    np.testing.assert_array_equal(short[:, :3, :3], short_alone.draw_attention(2)(dropout)[0])


def test_masks_of_attention_to_other_sequences():
    """One for each of a sequence's queries and each key of the other that it reads, be these more or fewer."""
    dropout = Dropout(0.4)
    dropout.site = 5
    others = Packing(np.arange(7) < np.array([[2], [7], [4]]))
    kept = Packing(keep, streams=streams()).draw_attention(2, others)(dropout)
    assert kept.shape == (B, 2, K, 7)
    for b, (n, m) in enumerate([(3, 2), (5, 7), (1, 4)]):
        np.testing.assert_array_equal(kept[b, :, :n, :m], streams().keep(0.4, (2, n, m), 5, b))


def test_masks_are_drawn_only_where_something_is_dropped():
    drawn = []

    def draw(dropout):
        drawn.append(dropout.p)
        return np.ones((2, 2), bool)

    x = np.ones((2, 2))
    Dropout(0.0)(x, draw)
    Dropout(0.3).eval()(x, draw)
    assert drawn == []
    np.testing.assert_allclose(Dropout(0.3)(x, draw), x / 0.7)
    assert drawn == [0.3]


@pytest.mark.parametrize("size", [1, 3, 4, 50, 1 << 15, (1 << 15) + 1, (1 << 16) + 6])
def test_masks_are_those_of_philox(size):
    """Drawn in one go, from a generator made for the key."""
    generator = np.random.Philox(key=[7, 0], counter=[0, 3, 5, 11])
    bits = generator.random_raw(-(-size // 4)).astype("<u8").view("<u2")[:size]
    drawn = streams(seed=7).keep(0.3, (size,), 3, 5, 11)
    np.testing.assert_array_equal(drawn, bits >= round(0.3 * 65536))


def test_draws_leave_no_trace():
    """Whatever the thread has drawn before, in whatever pieces."""
    first = streams().keep(0.5, (41,), 1, 2)
    for shape in ((1,), (7,), (40_000,)):
        streams(seed=4).keep(0.2, shape, 2, 3)
        np.testing.assert_array_equal(streams().keep(0.5, (41,), 1, 2), first)


def test_each_thread_draws_from_a_generator_of_its_own():
    """One thread's draws between two of another's change nothing there."""
    key, counter, other = [7, 0], [0, 3, 5, 11], [0, 1, 2, 4]
    mine, drawn = philox(key, counter), []
    first = mine.random_raw(6)
    thread = threading.Thread(target=lambda: drawn.append(philox(key, other).random_raw(6)))
    thread.start()
    thread.join()
    whole = np.random.Philox(key=key, counter=counter).random_raw(12)
    np.testing.assert_array_equal(np.append(first, mine.random_raw(6)), whole)
    np.testing.assert_array_equal(drawn[0], np.random.Philox(key=key, counter=other).random_raw(6))


# some of the rows


def test_queries_are_rows_of_their_sequences():
    packing = Packing(keep)
    queries = Queries(packing, np.array([0, 4, 6, 7, 8]))
    assert queries.lengths.tolist() == [1, 3, 1]
    assert queries.sequences.tolist() == [0, 1, 1, 1, 2] and queries.inside.tolist() == [0, 1, 3, 4, 0]
    assert queries.places.tolist() == [0, 0, 1, 2, 0] and queries.readable is None


def test_what_queries_may_read():
    key_mask = keep.copy()
    key_mask[1, 2] = False
    packing = Packing(keep, key_mask)
    assert Queries(packing, np.array([0, 4, 8])).readable is packing.readable
    by_query = rng.random((2, 4, 4)) < 0.5
    some = Queries(Packing(np.ones((2, 4), bool), by_query), np.array([1, 4, 7])).readable
    np.testing.assert_array_equal(some[0, 0], by_query[0, 1])
    np.testing.assert_array_equal(some[1], by_query[1, [0, 3]])


def test_masks_of_queries_are_cut_from_those_of_all_rows():
    dropout = Dropout(0.4)
    dropout.site = 2
    packing = Packing(keep, streams=streams())
    rows = np.array([0, 4, 6, 7, 8])
    queries = Queries(packing, rows)
    np.testing.assert_array_equal(queries.draw_tokens(8)(dropout), packing.draw_tokens(8)(dropout)[rows])
    every, some = packing.draw_attention(2)(dropout), queries.draw_attention(2)(dropout)
    assert some.shape == (3, 2, 3, 5)
    np.testing.assert_array_equal(some[0, :, :1, :3], every[0, :, [0], :3].swapaxes(0, 1))
    np.testing.assert_array_equal(some[1], every[1][:, [1, 3, 4]])
    np.testing.assert_array_equal(some[2, :, :1, :1], every[2, :, :1, :1])
