"""The last layer is computed only where something reads it, and nobody can tell by the numbers."""

import numpy as np
import pytest
from model_cases import CASES, by_name, draw_cotangents, relative_error

import bertnp
import bertnp.functional as F
from bertnp.backend import to_numpy

CASES = [case for case in CASES if case.labels]
POOLED = ("BertForNextSentencePrediction", "BertForSequenceClassification", "BertForMultipleChoice")
MASKED = ("BertForMaskedLM", "BertForPreTraining")


def rows_asked(monkeypatch):
    """A list that collects how many queries each attention has."""
    seen = []
    original = F.packed_attention

    def note(query, *rest, **options):
        seen.append(len(query))
        return original(query, *rest, **options)

    monkeypatch.setattr(F, "packed_attention", note)
    return seen


def results(case, training, dtype=np.float64, device="numpy", **options):
    model = case.model(dtype, device).train(training)
    inputs = dict(case.inputs)
    if "inputs_embeds" in inputs:
        inputs["inputs_embeds"] = bertnp.to(inputs["inputs_embeds"].astype(dtype), device)
    out = model(**inputs, **case.labels_as(dtype), **options)
    logits = {name: to_numpy(value) for name, value in out.items() if "logits" in name}
    dembeds = model.backward(scale=0.7)
    return float(out.loss), logits, to_numpy(model.buffer.grad), to_numpy(dembeds)


@pytest.mark.parametrize("training", [False, True], ids=["eval", "dropout"])
@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_loss_logits_and_gradients_are_those_of_all_rows(case, training, device):
    """Whoever asks for hidden states gets the last layer whole; everybody gets the same numbers."""
    few = results(case, training, device=device)
    every = results(case, training, device=device, output_hidden_states=True)
    assert abs(few[0] - every[0]) <= 1e-13 * abs(every[0])
    for name, logits in every[1].items():
        assert relative_error(few[1][name], logits) <= 1e-12, name
    for mine, theirs in zip(few[2:], every[2:], strict=True):
        assert relative_error(mine, theirs) <= 1e-11


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_how_many_rows_are_computed(case, monkeypatch):
    seen = rows_asked(monkeypatch)
    model = case.model()
    model(**case.inputs, **case.labels)
    *before, last = seen
    assert len(seen) == case.config["num_hidden_layers"] and len(set(before)) <= 1
    sequences = np.prod(next(iter(case.inputs.values())).shape[: 2 if case.head == "BertForMultipleChoice" else 1])
    if case.head in POOLED:
        assert last == sequences
    elif case.head in MASKED:
        labelled = case.labels["labels"] != -100
        labelled[:, 0] = True
        assert last == labelled.sum()
    elif before:
        assert last == before[0]
    seen.clear()
    model(**case.inputs, **case.labels, output_attentions=True)
    assert seen == [max(seen)] * len(seen)


@pytest.mark.parametrize("training", [False, True], ids=["eval", "dropout"])
@pytest.mark.parametrize("case", [case for case in CASES if case.head in MASKED], ids=by_name)
def test_gradients_of_all_logits_after_a_forward_for_the_loss(case, training):
    """The last layer is computed once more then, whole and with the masks it had."""
    name = "prediction_logits" if case.head == "BertForPreTraining" else "logits"
    gradients = []
    for options in ({}, {"output_hidden_states": True}):
        model = case.model().train(training)
        out = model(**case.inputs, **case.labels, **options)
        dlogits = draw_cotangents(case, out)[f"d{name}"]
        before = out[name].copy()
        dembeds = model.backward(**{f"d{name}": dlogits})
        assert relative_error(out[name], before) == 0
        gradients.append((model.buffer.grad.copy(), dembeds))
    for mine, theirs in zip(*gradients, strict=True):
        assert relative_error(mine, theirs) <= 1e-11


def test_logits_are_those_of_the_forward_whatever_train_says_since():
    case = next(case for case in CASES if case.head == "BertForMaskedLM")
    model = case.model(hidden_dropout_prob=0.3).train()
    streams = model.dropout_streams
    expected = model(**case.inputs, **case.labels).logits
    streams.step = 0
    out = model(**case.inputs, **case.labels)
    model.eval()
    assert relative_error(out.logits, expected) == 0
    model.backward()  # reading them has not touched what the forward saved


def test_logits_under_inference_with_labels():
    case = next(case for case in CASES if case.head == "BertForMaskedLM")
    model = case.model()
    with bertnp.inference():
        expected = model(**case.inputs, output_hidden_states=True).logits
        first, second = (model(**case.inputs, **case.labels) for _ in range(2))
    assert relative_error(first.logits, expected) <= 1e-12 and relative_error(second.logits, expected) <= 1e-12
    assert all(module._saved is None for _, module in model.named_modules())
