"""The encoder-decoder Transformer: agreement with PyTorch's layers, masks, outputs, inputs, files."""

import numpy as np
import pytest
from gradients import assert_close

import bertnp
import bertnp.functional as F
from bertnp import Transformer, TransformerConfig
from bertnp.backend import plain_formulas, to_numpy
from bertnp.optim import AdamW

SIZES = {"vocab_size": 19, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 20}
VARIANTS = {
    "post-norm": {},
    "pre-norm": {"norm_first": True},
    "separate tables": {"target_vocab_size": 17, "tie_word_embeddings": False, "num_decoder_layers": 3},
    "gelu": {"hidden_act": "gelu", "label_smoothing": 0.0},
}


def make_model(variant="post-norm", seed=0, dtype=np.float64, device=None, **changes):
    """A model that is not lazy: no bias is 0, no γ is 1."""
    config = TransformerConfig(**{**SIZES, **VARIANTS[variant], **changes})
    model = Transformer(config, seed=seed, dtype=dtype, device=device)
    rng = np.random.RandomState(seed)
    for name, parameter in model.named_parameters():
        values = rng.uniform(-1, 1, parameter.shape)
        if name.endswith("LayerNorm.weight"):
            values = 1 + 0.4 * values
        elif len(parameter.shape) > 1:
            values *= 1.6 / np.sqrt(parameter.shape[1])
        parameter.data = values
    return model.eval()


def make_batch(words=17, seed=0):
    """Sources of 7, 3 and 1 tokens, targets of 2, 5 and 1."""
    rng = np.random.RandomState(seed)
    ids, mask = rng.randint(4, 19, (3, 7)), np.arange(7) < [[7], [3], [1]]
    labels = np.where(np.arange(5) < [[2], [5], [1]], rng.randint(3, words, (3, 5)), -100)
    return {"input_ids": ids * mask, "attention_mask": mask.astype(int), "labels": labels}


def torch_inputs(batch, config):
    torch = pytest.importorskip("torch")
    read = np.zeros_like(batch["labels"])
    read[:, 0] = config.bos_token_id
    for row, column in np.argwhere(batch["labels"][:, :-1] != -100):
        read[row, column + 1] = batch["labels"][row, column]
    arrays = batch["input_ids"], batch["attention_mask"] > 0, read, batch["labels"] != -100
    return [torch.from_numpy(array) for array in arrays]


@pytest.mark.oracle("torch")
@pytest.mark.parametrize("variant", VARIANTS)
def test_outputs_and_gradients_are_those_of_pytorchs_layers(variant):
    torch = pytest.importorskip("torch")
    from torch_transformer import TorchTransformer

    model, batch = make_model(variant), make_batch()
    peer = TorchTransformer(model).eval()
    inputs = torch_inputs(batch, model.config)
    logits = peer(*inputs)
    out = model(**batch)
    real = batch["labels"] != -100
    assert_close(out.logits[real], logits.detach().numpy()[real], 1e-12, "logits")

    labels = torch.from_numpy(batch["labels"])
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), label_smoothing=model.config.label_smoothing
    )
    assert_close(out.loss, loss.item(), 1e-12, "loss")
    loss.backward()
    model.backward()
    expected = peer.own_gradients()
    assert set(expected) == {name for name, _ in model.named_parameters()}
    largest = max(np.abs(gradient).max() for gradient in expected.values())
    for name, parameter in model.named_parameters():
        if name.endswith("key.bias"):  # shifts all scores of a query alike: its true gradient is zero
            assert np.abs(parameter.grad).max() < 1e-12 * largest
        else:
            assert_close(parameter.grad, expected[name], 1e-10, name)


@pytest.mark.oracle("torch")
def test_memory_is_that_of_pytorchs_encoder():
    from torch_transformer import TorchTransformer

    model, batch = make_model(), make_batch()
    ids, mask, *_ = torch_inputs(batch, model.config)
    memory = TorchTransformer(model).eval().encode(ids, mask).detach().numpy()
    out = model(**batch, output_hidden_states=True)
    assert_close(out.encoder_last_hidden_state[mask], memory[mask], 1e-12, "memory")
    assert not out.encoder_last_hidden_state[~mask.numpy()].any()
    assert len(out.encoder_hidden_states) == len(out.decoder_hidden_states) == 3
    np.testing.assert_array_equal(out.encoder_hidden_states[-1], out.encoder_last_hidden_state)


@pytest.mark.parametrize("variant", ["post-norm", "pre-norm"])
def test_no_token_feels_what_stands_behind_it(variant):
    model, batch = make_model(variant), make_batch()
    read = np.array([[2, 7, 8, 9, 10]])
    source = batch["input_ids"][:1]
    before = model(source, decoder_input_ids=read).logits
    for place in range(1, 5):
        changed = read.copy()
        changed[0, place] = 15
        after = model(source, decoder_input_ids=changed).logits
        np.testing.assert_array_equal(after[0, :place], before[0, :place])
        assert (np.abs(after[0, place:] - before[0, place:]).max(axis=-1) > 1e-3).all()


def test_every_token_of_the_target_feels_the_whole_source():
    model, batch = make_model(), make_batch()
    read, source = np.array([[2, 7, 8]]), batch["input_ids"][:1]
    before = model(source, decoder_input_ids=read).logits
    for place in range(7):
        changed = source.copy()
        changed[0, place] = 4 if source[0, place] != 4 else 5
        after = model(changed, decoder_input_ids=read).logits
        assert (np.abs(after - before).max(axis=-1) > 1e-6).all()


def test_padding_changes_nothing():
    """One sentence pair for itself, and among longer ones; its padding holds any words."""
    model, batch = make_model(), make_batch()
    logits = model(**batch).logits
    alone = model(batch["input_ids"][1:2, :3], labels=batch["labels"][1:2])
    assert_close(logits[1], alone.logits[0], 1e-12, "logits")
    other = {**batch, "input_ids": np.where(batch["attention_mask"] > 0, batch["input_ids"], 9)}
    np.testing.assert_array_equal(model(**other).logits, logits)


def test_a_source_of_nothing_but_padding_is_not_read():
    model, batch = make_model(), make_batch()
    batch["attention_mask"][1] = 0
    logits = []
    for word in (5, 9):
        batch["input_ids"][1] = word
        out = model(**batch, output_attentions=True)
        assert not any(shares[1].any() for shares in out.cross_attentions)
        logits.append(out.logits)
    np.testing.assert_array_equal(*logits)
    model.backward()
    assert np.isfinite(model.buffer.grad).all()


def test_the_probabilities_are_those_of_the_masks():
    model, batch = make_model(), make_batch()
    out = model(**batch, output_attentions=True)
    source, target = batch["attention_mask"] > 0, batch["labels"] != -100
    assert len(out.encoder_attentions) == len(out.decoder_attentions) == len(out.cross_attentions) == 2
    queries = {"encoder_attentions": source, "decoder_attentions": target, "cross_attentions": target}
    for name, rows in queries.items():
        for shares in out[name]:
            keys = target if name == "decoder_attentions" else source
            assert shares.shape == (3, 3, rows.shape[1], keys.shape[1])
            sums = np.broadcast_to(rows[:, None], shares.shape[:3])
            np.testing.assert_allclose(shares.sum(axis=-1), sums, atol=1e-12)
            assert not (shares * ~keys[:, None, None]).any()
    assert all(not np.triu(shares, 1).any() for shares in out.decoder_attentions)


def test_device_gives_the_numbers_of_the_host():
    results = []
    for device in ("numpy", "strict"):
        model = make_model(device=device, dtype=np.float32).train()
        model.dropout_streams.hold = True
        with plain_formulas():
            out = model(**make_batch(), output_attentions=True)
            model.backward()
        found = out.loss, out.logits, out.cross_attentions[1], model.buffer.grad
        results.append([to_numpy(array) for array in found])
    for host, other in zip(*results, strict=True):
        assert_close(other, host, 1e-6, "device")


def test_gradients_add_up_and_micro_batches_weigh_by_their_labels():
    model, batch = make_model(), make_batch()
    model(**batch)
    model.backward()
    whole = model.buffer.grad.copy()
    model.zero_grad()
    counts = (batch["labels"] != -100).sum(axis=1)
    for row, count in enumerate(counts):
        model(**{name: values[row : row + 1] for name, values in batch.items()})
        model.backward(scale=count / counts.sum())
    assert_close(model.buffer.grad, whole, 1e-13, "gradient")


def test_one_table_serves_both_sides_and_the_output():
    shared, apart = make_model(), make_model("separate tables")
    words = shared.encoder.embeddings.word_embeddings.weight
    assert words is shared.decoder.embeddings.word_embeddings.weight is shared.output_embeddings.weight
    assert len({id(w) for w in (apart.encoder.embeddings.word_embeddings.weight, apart.output_embeddings.weight,
                                apart.decoder.embeddings.word_embeddings.weight)}) == 3  # fmt: skip
    base = TransformerConfig()
    H, inner = base.hidden_size, base.intermediate_size
    attention, feed_forward, norm = 4 * (H * H + H), 2 * H * inner + inner + H, 2 * H
    layers = 6 * (attention + feed_forward + 2 * norm) + 6 * (2 * attention + feed_forward + 3 * norm)
    assert Transformer(base, init=False).num_parameters() == base.vocab_size * H + layers  # 63 million, as published


def test_beginnings():
    """Words' vectors times √H have the size of sines and cosines; the other weights are Glorot's, biases 0."""
    model = Transformer(TransformerConfig(**{**SIZES, "hidden_size": 96, "vocab_size": 500}))
    words = model.encoder.embeddings.word_embeddings.weight.data
    assert abs(words.std() * 96**0.5 - 1) < 0.02
    dense = model.decoder.layer[1].intermediate.dense
    bound = (6 / (96 + 20)) ** 0.5
    assert 0.97 * bound < np.abs(dense.weight.data).max() <= bound and not dense.bias.data.any()


def test_positions_turn_by_an_angle_that_depends_on_the_distance_alone():
    table = F.sinusoids(60, 8)
    np.testing.assert_allclose(table @ table.T, (table @ table.T)[0][np.abs(np.subtract.outer(range(60), range(60)))])
    assert F.positional_encoding(np.zeros((2, 5)), np.array([0, 7])).shape == (2, 5)


def test_dropout_is_where_the_paper_has_it():
    """Embeddings and what each sub-layer adds; off for attention, and in eval mode."""
    model = make_model(hidden_dropout_prob=0.5).train()
    rates = {name: module.p for name, module in model.named_modules() if type(module).__name__ == "Dropout"}
    on = {name for name, p in rates.items() if p}
    assert on == {name for name in rates if name.endswith(("embeddings.dropout", "output.dropout"))}
    assert len(on) == 2 + 2 * (2 + 3)
    batch = make_batch()
    first, second = model(**batch).loss, model(**batch).loss
    assert first != second and model.dropout_streams.step == 2
    model.eval()
    assert model(**batch).loss == model(**batch).loss


def test_gradients_with_dropout_of_attention():
    """Along a random direction, with the same masks each time; sources and targets differ in length."""
    model, batch = make_model(attention_probs_dropout_prob=0.3, hidden_dropout_prob=0.0), make_batch()
    without = float(model(**batch).loss)
    model.train().dropout_streams.hold = True
    assert float(model(**batch).loss) != without
    model.backward()
    start, gradient = model.buffer.data.copy(), model.buffer.grad.copy()
    direction = np.random.default_rng(0).normal(size=start.shape)
    losses = []
    for step in (1e-6, -1e-6):
        model.buffer.data[...] = start + step * direction
        losses.append(float(model(**batch).loss))
    assert (losses[0] - losses[1]) / 2e-6 == pytest.approx(gradient @ direction, rel=1e-6)


def test_saved_and_loaded(tmp_path):
    model, batch = make_model("separate tables", dtype=np.float32), make_batch()
    model.save_pretrained(tmp_path)
    loaded = Transformer.from_pretrained(tmp_path)
    assert loaded.load_report.complete
    written = {"architectures": ["Transformer"], "dtype": "float32"}
    assert loaded.config == TransformerConfig(**model.config.to_dict() | written)
    np.testing.assert_array_equal(loaded(**batch).logits, model(**batch).logits)
    with pytest.raises(ValueError, match="model_type is 'transformer', but only 'bert' can be loaded"):
        bertnp.BertModel.from_pretrained(tmp_path)


WRONG = {
    "decoder_input_ids, or labels": {"labels": None},
    "input_ids: 99 is outside 0..18": {"input_ids": np.full((3, 7), 99)},
    "labels: 99 is neither": {"labels": np.full((3, 5), 99)},
    "labels: there is a gap": {"labels": np.array([[5, -100, 6]] * 3)},
    "labels: expected 2 dimensions": {"labels": np.array([5, 6])},
    "3 sources, but 2 targets": {"labels": np.full((2, 5), 5)},
    r"attention_mask: expected shape \(3, 7\), got \(3, 7, 7\)": {"attention_mask": np.ones((3, 7, 7), int)},
    r"decoder_attention_mask: expected shape \(3, 5\)": {"decoder_attention_mask": np.ones((3, 4), int)},
    "the batch is empty": {"input_ids": np.zeros((0, 7), int), "attention_mask": None},
    "labels: expected shape": {"decoder_input_ids": np.full((3, 4), 5)},
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_inputs_are_named(message):
    with pytest.raises(ValueError, match=message):
        make_model()(**{**make_batch(), **WRONG[message]})


def test_backward_wants_a_loss_or_a_gradient():
    model, batch = make_model(), make_batch()
    model(batch["input_ids"], decoder_input_ids=np.full((3, 4), 5))
    with pytest.raises(RuntimeError, match="no loss to start from"):
        model.backward()


def test_logits_are_read_before_the_weights_change():
    model, batch = make_model(), make_batch()
    out = model(**batch)
    model.decoder.layer[0].output.dense.bias.data = np.ones(12)
    with pytest.raises(RuntimeError, match="not read before"):
        _ = out.logits
    out = model(**batch)
    model.backward()
    AdamW(model).step()
    with pytest.raises(RuntimeError, match="not read before"):
        _ = out.logits


WRONG_CONFIGS = {
    "hidden_size must be a multiple": {"hidden_size": 13},
    "target_vocab_size must be at least 1": {"target_vocab_size": 0},
    "label_smoothing must be at least 0 and below 1": {"label_smoothing": 1.0},
    "bos_token_id must lie in 0 to 2": {"target_vocab_size": 3, "bos_token_id": 3},
    "norm_first must be true or false": {"norm_first": 1},
    "is a method of TransformerConfig": {"validate": 1},
    "model_type is 'bert'": {"model_type": "bert"},
}


@pytest.mark.parametrize("message", WRONG_CONFIGS)
def test_wrong_configurations_are_named(message):
    with pytest.raises((ValueError, TypeError), match=message):
        TransformerConfig(**WRONG_CONFIGS[message])
