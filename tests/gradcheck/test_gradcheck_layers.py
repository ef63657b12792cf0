"""Every layer and every model is checked, each parameter by itself, on every device; broken ones are found."""

import time

import numpy as np
import pytest

import bertnp.functional as F
import bertnp.nn as nn
from bertnp.backend import to_numpy
from bertnp.gradcheck import check_layer, check_model
from bertnp.gradcheck.model_cases import LAYERS, MODELS, layer_case, model_case, small_config
from bertnp.models import bert, heads
from bertnp.models.bert import BertPreTrainedModel


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, device):
    layer, inputs = layer_case(name, device=device)
    report = check_layer(layer, *inputs, max_coords=8, directional=1)
    assert report.ok, report.text
    assert {n for n, _ in layer.named_parameters()} <= {row.name for row in report.rows}
    for row in report.rows:
        assert row.verdict == "zero" or row.error <= 1e-8 * row.largest, row


@pytest.mark.parametrize("name", MODELS)
def test_models(name, device):
    model, batch = model_case(name, device=device)
    on_host = {"max_coords": 2} if device == "numpy" else {"coords": {}}
    report = check_model(model, batch, directional=1, **on_host)
    assert report.ok, report.text
    assert {n for n, _ in model.named_parameters()} <= {row.name for row in report.rows}
    zero = {row.name for row in report.rows if row.verdict == "zero"}
    # a softmax does not feel a shift, nor does anything else feel what is not read
    known = {
        "BertModel from vectors": ("word_embeddings.weight",),
        "BertForQuestionAnswering": ("layer.1.output.LayerNorm.bias", "qa_outputs.bias"),
        "BertForMultipleChoice": ("classifier.bias",),
    }
    assert all(n.endswith(("key.bias", *known.get(name, ()))) for n in zero), zero
    keys = {n for n, _ in model.named_parameters() if n.endswith("key.bias")}
    assert device != "numpy" or keys <= zero


@pytest.mark.parametrize("name", ["BertForPreTraining", "BertForQuestionAnswering"])
def test_models_by_complex_steps(name):
    model, batch = model_case(name, seed=1)
    report = check_model(model, batch, method="complex", max_coords=1, directional=1).raise_if_failed()
    for row in report.rows:
        assert row.verdict == "zero" or row.error <= 1e-11 * row.largest, row


def test_every_model_and_layer_is_there():
    def below(kind):
        return {kind} | {k for c in kind.__subclasses__() for k in below(c)}

    ours = [k for k in below(BertPreTrainedModel) if k.__module__.startswith("bertnp.")]
    models = {k.__name__ for k in ours if "build" in vars(k) and k is not BertPreTrainedModel}
    assert models <= {kind.__name__ for kind, _, _ in MODELS.values()}
    layers = {k.__name__ for k in below(nn.Module) if k.__module__.startswith("bertnp.nn") and "forward" in vars(k)}
    assert layers - {"Module"} <= {name.split()[0] for name in LAYERS}


def test_a_whole_model_within_ten_seconds():
    model, batch = model_case("BertForPreTraining")
    start = time.process_time()
    check_model(model, batch).raise_if_failed()
    assert time.process_time() - start < 10.0


def test_what_is_checked_stays_as_it_is():
    model, batch = model_case("BertForMaskedLM")
    model.dropout_streams.step = 4
    before = model.buffer.data.copy()
    check_model(model, batch, coords={}, directional=1)
    assert np.array_equal(model.buffer.data, before) and model.buffer.grad is None
    assert model.dropout_streams.step == 4 and not model.dropout_streams.hold
    part = model.bert.encoder.layer[0].intermediate
    assert check_layer(part, np.random.default_rng(0).normal(size=(4, 6)), max_coords=2).ok
    assert part.buffer is model.buffer and part.dense.name == "bert.encoder.layer.0.intermediate.dense"


def test_values_as_they_are():
    model, batch = model_case("BertForNextSentencePrediction")
    report = check_model(model, batch, fresh=False, coords={}, directional=1)
    assert report.ok, report.text


def test_single_precision():
    layer, inputs = layer_case("BertIntermediate", dtype=np.float32)
    report = check_layer(layer, *inputs, max_coords=4)
    assert report.ok and "float32" in report.text, report.text
    model, batch = model_case("BertForTokenClassification", dtype=np.float32)
    report = check_model(model, batch, coords={}, directional=1)
    assert report.ok, report.text


def test_outputs_by_name():
    model, batch = model_case("BertForMaskedLM")
    assert check_model(model, batch, outputs="logits", coords={}, directional=1).ok
    del batch["labels"]
    assert check_model(model, batch, coords={}, directional=1).ok
    with pytest.raises(ValueError, match="does not start from 'probabilities'; it does from one of loss, logits"):
        check_model(model, batch, outputs="probabilities")


def test_a_padding_row_learns_nothing_from_lookups():
    layer, inputs = layer_case("Embedding with a padding row")
    layer.padding_idx = 0
    assert check_layer(layer, *inputs).ok

    class Learns(nn.Embedding):
        def backward(self, dy):
            (ids,) = self.saved()
            self.weight.add_grad(F.embedding_backward(dy, ids, self.weight.data))

    report = check_layer(Learns(13, 6, 0), *inputs)
    assert not report.ok and "rows 0" in report.sentence


# broken layers


class Overwrites(nn.Linear):
    def backward(self, dy):
        (x,) = self.saved()
        dx, dweight, dbias = F.linear_backward(dy, x, self.weight.data)
        self.buffer.allocate_grad()
        self.weight.grad[...] = dweight
        self.bias.add_grad(dbias)
        return dx


class Spoils(nn.Linear):
    def backward(self, dy):
        dx = super().backward(dy)
        self.weight.data[0] = 0
        return dx


class ForgetsBias(nn.Linear):
    def backward(self, dy):
        (x,) = self.saved()
        dx, dweight, _ = F.linear_backward(dy, x, self.weight.data)
        self.weight.add_grad(dweight)
        return dx


class ForgetsGamma(nn.LayerNorm):
    def backward(self, dy):
        x_hat, inv_std = self.saved()
        _, dweight, dbias = F.layer_norm_backward(dy, x_hat, inv_std, self.weight.data)
        self.weight.add_grad(dweight)
        self.bias.add_grad(dbias)
        return F.layer_norm_backward(dy, x_hat, inv_std, self.weight.data * 0 + 1)[0]


class FreshMask(nn.Dropout):
    rng = np.random.default_rng(0)

    def backward(self, dy):
        self.saved()
        return F.dropout_backward(dy, self.rng.random(dy.shape) > self.p, self.p)


@pytest.mark.parametrize("layer, stage, words", [
    (Overwrites(6, 4), "repeatability", "add to it (+=)"),
    (Spoils(6, 4), "inputs untouched", "backward writes into the input weight"),
    (ForgetsBias(6, 4), "coordinates", "bias: the gradient is 0 everywhere"),
    (ForgetsGamma(6), "coordinates", "x: the gradient"),
    (FreshMask(0.25), "repeatability", "keep the mask"),
])  # fmt: skip
def test_broken_layers(layer, stage, words):
    x = np.random.default_rng(5).normal(size=(7, 6))
    keep = np.random.default_rng(6).random((7, 6)) > 0.25
    report = check_layer(layer, x, *([lambda dropout: keep] if isinstance(layer, nn.Dropout) else []))
    assert report.stage == stage and words in report.sentence, report.text


def test_gamma_of_one_hides_a_mistake():
    """Why values are drawn afresh."""
    x = np.random.default_rng(5).normal(size=(7, 6))
    layer = ForgetsGamma(6).initialize(dtype=np.float64)
    assert check_layer(layer, x, fresh=False).ok
    assert not check_layer(layer, x).ok


@pytest.mark.parametrize("kind, method, wrong, tensors", [
    (bert.BertAttention, "backward", lambda self, dy: _only_branch(self, dy), None),
    (heads.BertLMPredictionHead, "backward", lambda self, dy: _untied(self, dy), "word_embeddings"),
    (bert.BertPooler, "backward", lambda self, dy: _to_all_tokens(self, dy), None),
])  # fmt: skip
def test_broken_models(monkeypatch, kind, method, wrong, tensors):
    monkeypatch.setattr(kind, method, wrong)
    model, batch = model_case("BertForPreTraining")
    report = check_model(model, batch, coords={}, directional=1)
    assert not report.ok
    bad = {row.name for row in report.rows if row.verdict == "WRONG"}
    if tensors:
        assert bad == {"bert.embeddings.word_embeddings.weight"}
    assert "bert.embeddings.word_embeddings.weight" in bad


def _only_branch(attention, dy):
    dcontext, _ = attention.output.backward(dy)
    return attention.self.backward(dcontext)


def _untied(head, dlogits):
    (x,) = head.decoder.saved()
    dx, _, dbias = F.linear_backward(dlogits, x, head.decoder.weight.data)
    head.bias.add_grad(dbias)
    return head.transform.backward(dx)


def _to_all_tokens(pooler, dpooled):
    (packing,) = pooler.saved()
    dfirst = pooler.dense.backward(pooler.activation.backward(dpooled))
    return np.repeat(dfirst, packing.lengths, axis=0)


def test_wrong_arguments():
    with pytest.raises(TypeError, match="expected an nn.Module, got list"):
        check_layer([], 1)
    with pytest.raises(TypeError, match="forward takes x; got 2 inputs"):
        check_layer(nn.Linear(3, 2), 1, 2)
    with pytest.raises(TypeError, match="batch: expected a dictionary"):
        check_model(heads.BertForMaskedLM(small_config()), [1])
    with pytest.raises(ValueError, match="no layer 'Lineal'"):
        layer_case("Lineal")
    with pytest.raises(ValueError, match="no model 'Bort'"):
        model_case("Bort")
    assert "nothing to check" in check_layer(nn.Activation("gelu"), np.arange(3)).sentence


def test_a_fully_padded_row_gives_no_gradient(device):
    model, batch = model_case("BertModel from vectors", device=device)
    out = model(**batch)
    dy = np.random.default_rng(1).normal(size=out.last_hidden_state.shape)
    dembeds = to_numpy(model.backward(dlast_hidden_state=model.buffer.backend.asarray(dy)))
    assert np.isfinite(dembeds).all() and dembeds[1, :3].any()
    assert not dembeds[1, 3:].any() and not dembeds[2, 1:].any()  # padding that nobody reads
    attended = to_numpy(model(**batch, output_attentions=True).attentions[0])
    assert not attended[2].any()  # no key, no attention
