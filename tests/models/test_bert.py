"""BertModel: what it returns, padding taken out, dropout, flat buffers, sizes, and what it refuses."""

import contextlib
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from model_cases import fill, host_gradients, relative_error

import bertnp
from bertnp import nn
from bertnp.backend import to_numpy

CONFIG = {
    "vocab_size": 23,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 9,
    "max_position_embeddings": 11,
    "hidden_dropout_prob": 0.2,
    "attention_probs_dropout_prob": 0.3,
}


def make_model(device="numpy", dtype=np.float64, seed=0, add_pooling_layer=True, **config):
    config = bertnp.BertConfig(**{**CONFIG, **config})
    model = bertnp.BertModel(config, add_pooling_layer, dtype=dtype, device=device, seed=seed)
    fill(model, 7)
    return model.eval()


def ragged(*lengths):
    """Sequences of random words, of these lengths."""
    rng = np.random.RandomState(sum(lengths))
    return [rng.randint(1, 23, n) for n in lengths]


def padded(sequences, S, side="right"):
    """ids, attention_mask and position_ids (B, S) of sequences, padded with random words, which nobody must read."""
    ids = np.random.RandomState(S).randint(1, 23, (len(sequences), S))
    mask, positions = np.zeros_like(ids), np.zeros_like(ids)
    for b, words in enumerate(sequences):
        n = len(words)
        place = slice(0, n) if side == "right" else slice(S - n, S)
        ids[b, place], mask[b, place], positions[b, place] = words, 1, np.arange(n)
    return {"input_ids": ids, "attention_mask": mask, "position_ids": positions}


# what it returns


def test_results(device):
    model = make_model(device)
    inputs = padded(ragged(4, 7), 7)
    out = model(**inputs)
    assert out.keys() == ["last_hidden_state", "pooler_output"]
    assert out.hidden_states is None and out.attentions is None
    assert all(type(value) is type(model.buffer.data) for _, value in out.items())
    out = model(**inputs, output_hidden_states=True, output_attentions=True)
    assert out.last_hidden_state.shape == (2, 7, 12) and out.pooler_output.shape == (2, 12)
    assert [h.shape for h in out.hidden_states] == [(2, 7, 12)] * 3
    assert [a.shape for a in out.attentions] == [(2, 3, 7, 7)] * 2
    assert np.array_equal(to_numpy(out.hidden_states[-1]), to_numpy(out.last_hidden_state))
    assert np.array_equal(to_numpy(out[0]), to_numpy(out["last_hidden_state"]))


def test_the_configuration_may_ask_for_hidden_states_and_attentions():
    model = make_model(output_hidden_states=True, output_attentions=True)
    ids = np.array([[1, 2, 3]])
    assert len(model(ids).hidden_states) == 3 and len(model(ids).attentions) == 2
    assert model(ids, output_hidden_states=False).hidden_states is None


def test_without_a_pooler():
    model = make_model(add_pooling_layer=False)
    out = model(np.array([[1, 2, 3]]))
    assert out.pooler_output is None and not any("pooler" in name for name, _ in model.named_parameters())
    with pytest.raises(ValueError, match="dpooler_output: this model has no pooler"):
        model.backward(dpooler_output=np.ones((1, 12)))


def test_lists_are_as_good_as_arrays():
    model = make_model()
    ids, mask = [[1, 2, 3], [4, 5, 0]], [[1, 1, 1], [1, 1, 0]]
    expected = model(np.array(ids), np.array(mask)).last_hidden_state
    assert np.array_equal(model(ids, mask).last_hidden_state, expected)
    embeds = model.embeddings.word_embeddings.weight.data[np.array(ids)]
    assert np.array_equal(model(None, mask, inputs_embeds=embeds.tolist()).last_hidden_state, expected)


def test_attentions_after_dropout_are_what_was_used():
    """As transformers': in training the rows don't sum to 1, some probabilities are 0 and the others 1/(1-p) larger."""
    model = make_model().train()
    attentions = model(np.array([[1, 2, 3, 4, 5]]), output_attentions=True).attentions[0]
    model.eval()
    plain = model(np.array([[1, 2, 3, 4, 5]]), output_attentions=True).attentions[0]
    assert np.allclose(plain.sum(axis=-1), 1, rtol=0, atol=1e-14)
    assert (attentions == 0).any() and not np.allclose(attentions.sum(axis=-1), 1)


# padding taken out


@pytest.mark.parametrize(
    ("S", "side", "mates"),
    [(6, "right", []), (11, "right", []), (9, "right", [9, 2]), (6, "left", []), (11, "left", [3, 8, 11])],
)
def test_real_positions_depend_neither_on_padding_nor_on_the_batch(S, side, mates):
    model = make_model()
    (words,) = ragged(6)
    alone = model(words[None], output_hidden_states=True, output_attentions=True)
    inputs = padded([words, *ragged(*mates)], S, side)
    out = model(**inputs, output_hidden_states=True, output_attentions=True)
    real = inputs["attention_mask"][0].astype(bool)
    for found, expected in zip(out.hidden_states, alone.hidden_states, strict=True):
        assert relative_error(found[0, real], expected[0]) < 1e-13
    for found, expected in zip(out.attentions, alone.attentions, strict=True):
        assert relative_error(found[0][:, real][:, :, real], expected[0]) < 1e-13
    if side == "right":  # the pooler reads position 0
        assert relative_error(out.pooler_output[0], alone.pooler_output[0]) < 1e-13


def test_gradients_do_not_depend_on_padding():
    model = make_model()
    sequences = ragged(6, 2, 9)
    cotangents = [np.random.RandomState(b).uniform(-1, 1, (1, len(words), 12)) for b, words in enumerate(sequences)]
    for words, dh in zip(sequences, cotangents, strict=True):
        model(words[None])
        model.backward(dh, dh[:, 0])
    total = model.buffer.grad.copy()
    model.zero_grad()
    inputs = padded(sequences, 11)
    dh = np.random.RandomState(9).uniform(-1, 1, (3, 11, 12))  # what stands at padding is read by nobody
    for b, words in enumerate(sequences):
        dh[b, : len(words)] = cotangents[b]
    model(**inputs)
    model.backward(dh, dh[:, 0])
    assert relative_error(model.buffer.grad, total) < 1e-13


def test_dropped_positions_hold_zeros(device):
    model = make_model(device)
    inputs = padded(ragged(3, 8, 5), 10)
    padding = inputs["attention_mask"] == 0
    out = model(**inputs, output_hidden_states=True, output_attentions=True)
    for h in out.hidden_states:
        assert not to_numpy(h)[padding].any() and to_numpy(h)[~padding].all()
    for probabilities in out.attentions:
        by_query = to_numpy(probabilities).swapaxes(1, 2)  # (B, S, A, S)
        by_key = to_numpy(probabilities).transpose(0, 3, 1, 2)
        assert not by_query[padding].any() and not by_key[padding].any()
        assert np.allclose(by_query[~padding].sum(axis=-1), 1, rtol=0, atol=1e-14)
    dembeds = to_numpy(model.backward(model.buffer.backend.asarray(np.ones((3, 10, 12)))))
    assert dembeds.shape == (3, 10, 12) and not dembeds[padding].any()


def test_the_first_position_is_computed_even_if_it_is_padding():
    model = make_model()
    inputs = padded(ragged(3), 5, "left")
    out = model(**inputs)
    assert out.last_hidden_state[0, 0].any() and not out.last_hidden_state[0, 1].any()


def test_a_row_without_any_key():
    """It attends to nothing: zeros come out of its attention and no gradient goes through it, all is finite."""
    model = make_model()
    ids = np.array([[3, 4, 5], [6, 7, 8]])
    mask = np.array([[1, 1, 1], [0, 0, 0]])
    out = model(ids, mask, output_attentions=True)
    assert np.isfinite(out.last_hidden_state).all() and np.isfinite(out.pooler_output).all()
    assert all(not probabilities[1].any() for probabilities in out.attentions)
    dh = np.zeros((2, 3, 12))
    dh[1] = np.random.RandomState(0).uniform(-1, 1, (3, 12))
    gradients = host_gradients(model, model.backward(dh))
    for name, gradient in gradients.items():
        assert np.isfinite(gradient).all()
        untouched = re.search(r"\.self\.|attention\.output\.dense\.weight|pooler", name)
        assert gradient.any() == (untouched is None), name
    assert not gradients["input embeddings"][0].any() and not gradients["input embeddings"][1, 1:].any()


def test_a_query_without_any_key():
    """Under a 3-D mask: token 1 may read nobody, and what comes out of it depends on no other token."""
    model = make_model(num_hidden_layers=1)
    ids = np.array([[3, 4, 5]])
    mask = np.ones((1, 3, 3), int)
    mask[0, 1] = 0
    out = model(ids, mask, output_attentions=True)
    assert np.isfinite(out.last_hidden_state).all()
    assert not out.attentions[0][0, :, 1].any() and out.attentions[0][0, :, [0, 2]].all()
    dh = np.zeros((1, 3, 12))
    dh[0, 1] = 1 + np.arange(12.0)
    dembeds = model.backward(dh)
    assert dembeds[0, 1].any() and not dembeds[0, [0, 2]].any()


def test_a_3d_mask_of_equal_rows_is_a_2d_mask():
    model = make_model()
    inputs = padded(ragged(4, 6), 6)
    flat = model(**inputs).last_hidden_state
    inputs["attention_mask"] = np.repeat(inputs["attention_mask"][:, None], 6, axis=1)
    assert relative_error(model(**inputs).last_hidden_state[0, :4], flat[0, :4]) < 1e-13


# dropout


def test_dropout_of_an_example_depends_on_its_place_alone():
    """Not on padded length, nor on the rest of the batch: its place in the global batch is what counts."""
    model = make_model().train()
    model.dropout_streams.hold = True
    first, words, last = ragged(9, 4, 7)
    expected = model(**padded([first, words, last], 9)).last_hidden_state[1, :4]
    assert relative_error(model(**padded([first[:2], words], 11)).last_hidden_state[1, :4], expected) < 1e-13
    model.dropout_streams.first_example = 1
    assert relative_error(model(words[None]).last_hidden_state[0], expected) < 1e-13
    model.dropout_streams.first_example = 0
    assert relative_error(model(words[None]).last_hidden_state[0], expected) > 0.01


def test_dropout_changes_from_step_to_step_and_can_be_repeated():
    model = make_model().train()
    streams = model.dropout_streams
    ids = np.array([[1, 2, 3, 4]])
    assert streams.step == 0
    first, second = model(ids).last_hidden_state, model(ids).last_hidden_state
    assert streams.step == 2 and not np.array_equal(first, second)
    streams.step = 0
    assert np.array_equal(model(ids).last_hidden_state, first)
    streams.hold = True
    assert np.array_equal(model(ids).last_hidden_state, second) and streams.step == 1
    assert np.array_equal(model(ids).last_hidden_state, second)


def test_dropout_follows_the_seed():
    ids = np.array([[1, 2, 3, 4]])
    one, same, other = (make_model(seed=seed).train()(ids).last_hidden_state for seed in (5, 5, 6))
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_only_training_forwards_count_as_steps():
    model = make_model().train()
    ids = np.array([[1, 2, 3, 4]])
    with bertnp.inference():
        quiet = model(ids).last_hidden_state
    assert model.dropout_streams.step == 0
    model.eval()
    assert np.array_equal(model(ids).last_hidden_state, quiet)
    assert model.dropout_streams.step == 0


def test_every_dropout_is_a_site_of_its_own():
    sites = [module.site for _, module in make_model().named_modules() if isinstance(module, nn.Dropout)]
    assert sites == list(range(1 + 3 * CONFIG["num_hidden_layers"]))


# flat buffers


def test_layout():
    model = make_model()
    buffer, parameters = model.buffer, dict(model.named_parameters())
    assert buffer.data.ctypes.data % 64 == 0
    assert buffer.data.size == model.num_parameters() == sum(p.size for p in parameters.values())
    places = np.concatenate([np.arange(p.start, p.start + p.size) for p in parameters.values()])
    assert np.array_equal(np.sort(places), np.arange(buffer.data.size))
    for name, parameter in parameters.items():
        assert parameter.decay == (not re.search(r"bias|LayerNorm", name)), name
        assert (parameter.start + parameter.size <= buffer.decayed) == parameter.decay
        assert np.shares_memory(parameter.data, buffer.data)
    for layer in model.encoder.layer:
        parts = layer.attention.self.query, layer.attention.self.key, layer.attention.self.value
        for one, next_one in zip(parts, parts[1:], strict=False):
            assert next_one.weight.start == one.weight.start + 144
            assert next_one.bias.start == one.bias.start + 12


def test_gradients_are_allocated_by_the_first_backward():
    model = make_model()
    with bertnp.inference():
        model(np.array([[1, 2, 3]]))
        with pytest.raises(RuntimeError, match="backward of BertModel needs its own forward first"):
            model.backward(np.ones((1, 3, 12)))
    model(np.array([[1, 2, 3]]))
    assert model.buffer.grad is None and all(parameter.grad is None for parameter in model.parameters())
    model.backward(np.ones((1, 3, 12)))
    assert model.buffer.grad.ctypes.data % 64 == 0
    for parameter in model.parameters():
        assert parameter.grad.shape == parameter.shape and np.shares_memory(parameter.grad, model.buffer.grad)


def test_inference_saves_nothing():
    model = make_model()
    with bertnp.inference():
        model(np.array([[1, 2, 3]]))
    assert all(module._saved is None for _, module in model.named_modules())


def test_backward_adds_up():
    model = make_model()
    ids, dh = np.array([[1, 2, 3]]), np.random.RandomState(0).uniform(-1, 1, (1, 3, 12))
    model(ids)
    model.backward(dh)
    once = model.buffer.grad.copy()
    model(ids)
    model.backward(dh, scale=0.5)
    assert relative_error(model.buffer.grad, 1.5 * once) < 1e-14
    model.zero_grad()
    assert not model.buffer.grad.any()


CHANGES = {
    "astype": lambda model: model.astype(np.float32),
    "to": lambda model: model.to("strict"),
    "resize": lambda model: model.resize_token_embeddings(30),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_new_layout_keeps_the_values_and_refuses_older_optimizers(change):
    model = make_model()
    before = {name: parameter.data.astype(np.float32) for name, parameter in model.named_parameters()}
    optimizer = bertnp.AdamW(model)
    model(np.array([[1, 2, 3]]))
    model.backward(np.ones((1, 3, 12)))
    assert CHANGES[change](model) is model
    with pytest.raises(RuntimeError, match="laid out anew"):
        optimizer.step()
    assert model.buffer.grad is None
    with pytest.raises(RuntimeError, match="needs its own forward first"):
        model.backward(np.ones((1, 3, 12)))
    for name, parameter in model.named_parameters():
        values = to_numpy(parameter.data)[: len(before[name])]
        assert np.array_equal(values.astype(np.float32), before[name])
    assert model(np.array([[1, 2, 22]])).last_hidden_state.dtype == model.dtype


def test_to_where_it_is_changes_nothing():
    model = make_model()
    buffer = model.buffer
    assert model.to("cpu").buffer is buffer and model.device == "numpy"
    assert model.to("strict").device == "strict"


@pytest.mark.parametrize("vocab_size", [40, 9])
def test_resized_embeddings(vocab_size, device):
    model = make_model(device)
    ids = np.array([[1, 8, 3]])
    old = to_numpy(model.embeddings.word_embeddings.weight.data).copy()
    before = to_numpy(model(ids).last_hidden_state)
    assert model.resize_token_embeddings(vocab_size) is model
    assert model.config.vocab_size == vocab_size
    table = to_numpy(model.embeddings.word_embeddings.weight.data)
    kept = min(vocab_size, 23)
    assert table.shape == (vocab_size, 12) and np.array_equal(table[:kept], old[:kept])
    assert np.array_equal(to_numpy(model(ids).last_hidden_state), before)
    if vocab_size > 23:
        assert table[23:].any() and 0.01 < table[23:].std() < 0.03  # initializer_range is 0.02
        model(np.array([[vocab_size - 1]]))
    with pytest.raises(ValueError, match=f"{vocab_size} is outside"):
        model(np.array([[vocab_size]]))


@pytest.mark.parametrize("vocab_size", [0, -3, 2.5, "30", True])
def test_resizing_to_no_size(vocab_size):
    model = make_model()
    buffer = model.buffer
    with pytest.raises(ValueError, match="^vocab_size: expected a positive whole number"):
        model.resize_token_embeddings(vocab_size)
    assert model.buffer is buffer


def test_resizing_must_leave_the_padding_word():
    model = make_model(pad_token_id=5)
    with pytest.raises(ValueError, match="^vocab_size: 5 would drop the padding word, pad_token_id 5$"):
        model.resize_token_embeddings(5)
    assert model.config.vocab_size == 23
    model.resize_token_embeddings(6)


def test_fresh_weights():
    """Devlin's released code and transformers: normal with 0.02, biases 0, layer norms 1, the padding word 0."""
    model = bertnp.BertModel(bertnp.BertConfig(**{**CONFIG, "vocab_size": 2000, "pad_token_id": 3}), seed=1)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.data.any()
        elif name.endswith("LayerNorm.weight"):
            assert (parameter.data == 1).all()
        else:
            assert 0.01 < parameter.data.std() < 0.03 and abs(parameter.data.mean()) < 0.006
    words = model.embeddings.word_embeddings.weight.data
    assert 0.0195 < words.std() < 0.0205
    assert np.flatnonzero(~words.any(axis=1)).tolist() == [3]


def test_the_padding_word_learns_nothing_from_being_looked_up():
    for pad_token_id in (0, 4, None):
        model = make_model(pad_token_id=pad_token_id)
        model(np.array([[4, 0, 4, 6]]))
        model.backward(np.random.RandomState(0).uniform(-1, 1, (1, 4, 12)))
        learning = np.flatnonzero(model.embeddings.word_embeddings.weight.grad.any(axis=1)).tolist()
        assert learning == [word for word in (0, 4, 6) if word != pad_token_id]


# sizes

BASE = {}
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}


def size(L, H):
    return {"num_hidden_layers": L, "hidden_size": H, "num_attention_heads": H // 64, "intermediate_size": 4 * H}


@pytest.mark.parametrize(
    ("head", "config", "expected"),
    [
        ("BertModel", BASE, 109_482_240),
        ("BertForPreTraining", BASE, 110_106_428),
        ("BertForMaskedLM", BASE, 109_514_298),
        ("BertForQuestionAnswering", BASE, 108_893_186),
        ("BertModel", LARGE, 335_141_888),
        ("BertForPreTraining", LARGE, 336_226_108),
        ("BertModel", {"vocab_size": 28996}, 108_310_272),
        ("BertModel", {"vocab_size": 21128}, 102_267_648),
        ("BertModel", {"vocab_size": 119547}, 177_853_440),
        ("BertModel", size(2, 128), 4_385_920),
        ("BertModel", size(4, 256), 11_170_560),
        ("BertModel", size(4, 512), 28_763_648),
        ("BertModel", size(8, 512), 41_373_184),
    ],
)
def test_published_numbers_of_parameters(head, config, expected, monkeypatch):
    monkeypatch.setattr(nn.Module, "allocate", lambda *arguments: None)  # shapes are enough
    model = getattr(bertnp, head)(bertnp.BertConfig(**config), init=False)
    assert model.num_parameters() == expected


# threads


LARGE = {"hidden_size": 192, "num_attention_heads": 4, "intermediate_size": 400, "max_position_embeddings": 128}


@pytest.mark.parametrize("sizes, longer", [({}, 1), (LARGE, 12)], ids=["small", "in memory that is used again"])
def test_threads_share_a_model(sizes, longer):
    model = make_model(dtype=np.float32, **sizes)
    shapes = ((3, 9), (10,), (1, 2, 5), (7, 7))
    batches = [padded(ragged(*np.multiply(lengths, longer)), 10 * longer) for lengths in shapes for _ in range(6)]

    def work(inputs):
        with bertnp.inference():
            return model(**inputs, output_attentions=True)

    expected = [work(inputs) for inputs in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, batches))
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one.last_hidden_state, other.last_hidden_state)
        assert np.array_equal(one.pooler_output, other.pooler_output)
        assert all(np.array_equal(a, b) for a, b in zip(one.attentions, other.attentions, strict=True))


@pytest.mark.parametrize("inside", [bertnp.inference, contextlib.nullcontext])
def test_what_a_model_has_given_stays_as_it_is(inside):
    """Its memory is not used again while somebody holds it, or a part of it."""
    model = make_model(dtype=np.float32, **LARGE).train()
    batches = [padded(ragged(90, 100, 20 + b), 100) for b in range(6)]
    with inside():
        out = model(**batches[0], output_hidden_states=True, output_attentions=True)
        held = [out.last_hidden_state[:, 5:], out.pooler_output, *out.hidden_states, *out.attentions]
        kept = [array.copy() for array in held]
        del out
        for batch in batches[1:]:
            model(**batch, output_hidden_states=True)
            if not bertnp.nn.is_inference():
                model.backward(np.ones((3, 100, 192), np.float32))
    assert all(np.array_equal(one, other) for one, other in zip(held, kept, strict=True))


# what it refuses

IDS = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
EMBEDS = np.zeros((2, 4, 12))
BAD = [
    ({}, ValueError, "give either input_ids or inputs_embeds"),
    ({"input_ids": IDS, "inputs_embeds": EMBEDS}, ValueError, "give either input_ids or inputs_embeds"),
    ({"input_ids": IDS + 15}, ValueError, "input_ids: 23 is outside 0..22 (vocab_size is 23)"),
    ({"input_ids": IDS - 2}, ValueError, "input_ids: -1 is outside 0..22 (vocab_size is 23)"),
    ({"input_ids": IDS * 1.0}, TypeError, "input_ids: expected integers, got float64"),
    ({"input_ids": IDS > 3}, TypeError, "input_ids: expected integers, got bool"),
    ({"input_ids": [["a", "b"]]}, TypeError, "input_ids: expected integers, got <U1"),
    (
        {"input_ids": [[1, 2, 3], [4, 5]]},
        ValueError,
        "input_ids: expected rows of one length, got lists of unequal lengths: pad them",
    ),
    ({"input_ids": IDS[0]}, ValueError, "input_ids: expected 2 dimensions, got shape (4,)"),
    ({"input_ids": IDS[:0]}, ValueError, "the batch is empty: 0 sequences of 4 tokens"),
    ({"input_ids": IDS[:, :0]}, ValueError, "the batch is empty: 2 sequences of 0 tokens"),
    ({"inputs_embeds": EMBEDS[:0]}, ValueError, "the batch is empty: 0 sequences of 4 tokens"),
    (
        {"input_ids": np.ones((1, 12), int)},
        ValueError,
        "sequences of 12 tokens are longer than the model's 11 positions (max_position_embeddings): truncate them",
    ),
    ({"inputs_embeds": EMBEDS[0]}, ValueError, "inputs_embeds: expected shape (B, S, 12), got (4, 12)"),
    ({"inputs_embeds": EMBEDS[..., :5]}, ValueError, "inputs_embeds: expected shape (B, S, 12), got (2, 4, 5)"),
    ({"inputs_embeds": [["a"]]}, TypeError, "inputs_embeds: expected numbers, got <U1"),
    (
        {"attention_mask": np.ones((2, 5), int)},
        ValueError,
        "attention_mask: expected shape (2, 4) or (2, 4, 4), got (2, 5)",
    ),
    (
        {"attention_mask": np.ones(4, int)},
        ValueError,
        "attention_mask: expected shape (2, 4) or (2, 4, 4), got (4,)",
    ),
    (
        {"attention_mask": np.ones((2, 1, 4, 4), int)},
        ValueError,
        "attention_mask: expected shape (2, 4) or (2, 4, 4), got (2, 1, 4, 4)",
    ),
    (
        {"attention_mask": np.full((2, 4), 2)},
        ValueError,
        "attention_mask: expected 1 for tokens and 0 for padding, got other values",
    ),
    (
        {"attention_mask": np.full((2, 4), np.nan)},
        ValueError,
        "attention_mask: expected 1 for tokens and 0 for padding, got other values",
    ),
    ({"token_type_ids": IDS * 0 + 2}, ValueError, "token_type_ids: 2 is outside 0..1 (type_vocab_size is 2)"),
    ({"token_type_ids": IDS * 0.0}, TypeError, "token_type_ids: expected integers, got float64"),
    ({"token_type_ids": IDS[:, :3] * 0}, ValueError, "token_type_ids: expected shape (2, 4), got (2, 3)"),
    (
        {"position_ids": IDS + 4},
        ValueError,
        "position_ids: 11 is outside 0..10 (max_position_embeddings is 11)",
    ),
    ({"position_ids": np.zeros((3, 4), int)}, ValueError, "position_ids: expected shape (2, 4), got (3, 4)"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD, ids=[message for _, _, message in BAD])
def test_bad_input(arguments, error, message):
    model = make_model()
    if arguments and not {"input_ids", "inputs_embeds"} & set(arguments):
        arguments = {"input_ids": IDS, **arguments}
    with pytest.raises(error) as caught:
        model(**arguments)
    assert str(caught.value) == message
    model(IDS)


def test_backward_needs_something_to_start_from():
    model = make_model()
    model(IDS)
    with pytest.raises(RuntimeError, match="^backward of BertModel: no loss to start from; .*$"):
        model.backward()
    model.backward(np.ones((2, 4, 12)))
    with pytest.raises(RuntimeError, match="^backward of BertModel needs its own forward first: [^\n]*$"):
        model.backward(np.ones((2, 4, 12)))


def test_a_layer_that_is_used_twice_is_named():
    model = make_model()
    model.encoder.layer[1] = model.encoder.layer[0]
    with pytest.raises(RuntimeError, match=r"'encoder\.layer\.0\..*' was called twice in one forward"):
        model(IDS)


def test_one_forward_draws_all_its_masks_at_one_step():
    config = bertnp.BertConfig(
        vocab_size=11, hidden_size=6, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, num_labels=3
    )
    model = bertnp.BertForSequenceClassification(config, seed=5)
    keep, steps = model.dropout_streams.keep, []

    def note(p, shape, site, example, step=None):
        steps.append(step)
        return keep(p, shape, site, example, step)

    model.dropout_streams.keep = note
    for _ in range(2):
        model(np.array([[1, 2, 3]]))
    draws = 1 + 1 + 2 + 1  # embeddings, attention, two residuals, classifier
    assert steps == [0] * draws + [1] * draws
