"""The heads: losses, gradients by central differences, late logits, tied words, the strict device, bad labels."""

import re
from dataclasses import replace

import numpy as np
import pytest
import strict_device
from model_cases import CASES, SMALL_CASES, by_name, draw_cotangents, fill, relative_error, run

import bertnp
from bertnp.backend import to_numpy

CONFIG = {
    "vocab_size": 9,
    "hidden_size": 6,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 5,
    "max_position_embeddings": 7,
    "num_labels": 3,
}
IDS = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0]])
WORD_LABELS = np.array([[-100, 2, -100, 4], [-100, -100, 0, -100]])  # one of them stands on padding
HEADS = {  # labels for each head that go with IDS
    "BertForPreTraining": {"labels": WORD_LABELS, "next_sentence_label": np.array([1, 0])},
    "BertForMaskedLM": {"labels": WORD_LABELS},
    "BertForNextSentencePrediction": {"labels": np.array([1, 0])},
    "BertForSequenceClassification": {"labels": np.array([2, 0])},
    "BertForTokenClassification": {"labels": np.minimum(WORD_LABELS, 2)},
    "BertForQuestionAnswering": {"start_positions": np.array([1, 0]), "end_positions": np.array([3, 1])},
    "BertForMultipleChoice": {"labels": np.array([1])},
}


def make_model(head, device="numpy", dtype=np.float64, **config):
    config = bertnp.BertConfig(**{**CONFIG, **config})
    model = getattr(bertnp, head)(config, dtype=dtype, device=device)
    fill(model, 3)
    return model.eval()


def inputs_of(head):
    inputs = {"input_ids": IDS, "attention_mask": MASK}
    return {name: array[None] for name, array in inputs.items()} if head == "BertForMultipleChoice" else inputs


def grads(model):
    return {name: to_numpy(parameter.grad).copy() for name, parameter in model.named_parameters()}


# names

ENCODER = """
embeddings.word_embeddings.weight embeddings.position_embeddings.weight embeddings.token_type_embeddings.weight
embeddings.LayerNorm.weight embeddings.LayerNorm.bias
"""
LAYER = """
attention.self.query.weight attention.self.query.bias attention.self.key.weight attention.self.key.bias
attention.self.value.weight attention.self.value.bias
attention.output.dense.weight attention.output.dense.bias
attention.output.LayerNorm.weight attention.output.LayerNorm.bias
intermediate.dense.weight intermediate.dense.bias
output.dense.weight output.dense.bias output.LayerNorm.weight output.LayerNorm.bias
"""
POOLER = "bert.pooler.dense.weight bert.pooler.dense.bias "
WORDS = """
cls.predictions.transform.dense.weight cls.predictions.transform.dense.bias
cls.predictions.transform.LayerNorm.weight cls.predictions.transform.LayerNorm.bias cls.predictions.bias
"""
RELATION = "cls.seq_relationship.weight cls.seq_relationship.bias "
EXTRA = {
    "BertForPreTraining": POOLER + WORDS + RELATION,
    "BertForMaskedLM": WORDS,
    "BertForNextSentencePrediction": POOLER + RELATION,
    "BertForSequenceClassification": POOLER + "classifier.weight classifier.bias",
    "BertForTokenClassification": "classifier.weight classifier.bias",
    "BertForQuestionAnswering": "qa_outputs.weight qa_outputs.bias",
    "BertForMultipleChoice": POOLER + "classifier.weight classifier.bias",
}


@pytest.mark.parametrize("head", HEADS)
def test_names_are_those_of_published_checkpoints(head):
    expected = {f"bert.{name}" for name in ENCODER.split()} | set(EXTRA[head].split())
    expected |= {f"bert.encoder.layer.{i}.{name}" for i in range(2) for name in LAYER.split()}
    model = make_model(head, num_hidden_layers=2)
    assert {name for name, _ in model.named_parameters()} == expected
    if "predictions" in EXTRA[head]:
        untied = make_model(head, num_hidden_layers=2, tie_word_embeddings=False)
        assert {name for name, _ in untied.named_parameters()} == expected | {"cls.predictions.decoder.weight"}


# gradients by central differences


def slope(f, h=1e-3):
    """f'(0) from four values, with an error of order h⁴."""
    return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h)


@pytest.mark.parametrize("training", [False, True], ids=["eval", "dropout"])
@pytest.mark.parametrize("case", SMALL_CASES, ids=by_name)
def test_central_differences(case, training):
    """Along a random direction in each parameter and in the embeddings handed in, the loss rises as the gradient says.

    The dropout streams are held, so that all forwards drop the same.
    """
    if "inputs_embeds" not in case.inputs and case.head in ("BertModel", "BertForMultipleChoice"):
        shape = (*case.inputs["input_ids"].shape, case.config["hidden_size"])
        embeds = np.random.RandomState(5).uniform(-1, 1, shape)
        case = replace(case, inputs={**case.inputs, "inputs_embeds": embeds})
        del case.inputs["input_ids"]
    case = replace(case, inputs=dict(case.inputs))  # others use the case as it is
    model = case.model().train(training)
    model.dropout_streams.hold = True
    cotangents = None if case.labels else draw_cotangents(case, model(**case.inputs))
    _, gradients = run(case, model, cotangents)

    def objective():
        with_labels = {} if cotangents else case.labels
        out = model(**case.inputs, **with_labels)
        if not cotangents:
            return out.loss
        return sum((out[argument[1:]] * value).sum() for argument, value in cotangents.items())

    def moved_parameter(parameter, start, direction):
        def f(h):
            parameter.data = start + h * direction
            return objective()

        return f

    def moved_embeds(start, direction):
        def f(h):
            case.inputs["inputs_embeds"] = start + h * direction
            return objective()

        return f

    largest = max(np.abs(gradient).max() for gradient in gradients.values())
    rng = np.random.RandomState(6)

    def check(name, start, make, zero_row=None):
        direction = rng.uniform(-1, 1, start.shape)
        if zero_row is not None:
            direction[zero_row] = 0
        expected = slope(make(start, direction))
        scale = max(np.abs(gradients[name]).max(), 1e-3 * largest) * np.linalg.norm(direction)
        assert abs((gradients[name] * direction).sum() - expected) <= 1e-7 * scale, name

    for name, parameter in model.named_parameters():
        start = parameter.data.copy()
        # looking the padding word up teaches it nothing, so the direction leaves it where it is
        check(
            name, start, lambda start, direction, p=parameter: moved_parameter(p, start, direction), parameter.zero_row
        )
        parameter.data = start
    if "inputs_embeds" in case.inputs:
        check("input embeddings", case.inputs["inputs_embeds"], moved_embeds)


# the strict device


@pytest.mark.parametrize("case", [case for case in CASES if case.labels], ids=by_name)
def test_training_on_a_device_is_bit_for_bit_that_of_the_host(case):
    """Three AdamW steps with dropout and clipping: the same losses, outputs and weights, all in float32.

    On both the textbook bodies run: a kernel of one of them may round otherwise.
    Between handing in a batch and reading its loss nothing makes the host wait for the device.
    """
    seen = []
    for device in ("numpy", "strict"):
        model = case.model(np.float32, device).train()
        optimizer = bertnp.AdamW(model, lr=1e-2)
        inputs, labels = dict(case.inputs), case.labels_as(np.float32)
        if "inputs_embeds" in inputs:
            inputs["inputs_embeds"] = bertnp.to(inputs["inputs_embeds"].astype(np.float32), device)
        results = []
        for _ in range(3):
            with bertnp.plain_formulas(), strict_device.nosync(), strict_device.no_float64():
                out = model(**inputs, **labels)
                logits = [value for name, value in out.items() if "logits" in name]
                dembeds = model.backward()
                scale, norm = bertnp.clip_grad_norm(model, 1.0)
                optimizer.step(scale)
                optimizer.zero_grad()
            results += [to_numpy(value) for value in (out.loss, *logits, dembeds, scale, norm)]
        seen.append(results + [to_numpy(parameter.data) for parameter in model.parameters()])
    assert len(seen[0]) == len(seen[1])
    for host, device in zip(*seen, strict=True):
        assert host.dtype == device.dtype == np.float32
        assert np.isfinite(host).all() and np.array_equal(host, device)


@pytest.mark.parametrize("head", HEADS)
def test_every_head_learns(head):
    """Sixty steps on one batch: the loss falls to less than a tenth."""
    model = make_model(head).train()
    optimizer = bertnp.AdamW(model, lr=2e-2)
    losses = []
    for _ in range(60):
        losses.append(model(**inputs_of(head), **HEADS[head]).loss)
        model.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    assert model(**inputs_of(head), **HEADS[head]).loss < 0.1 * losses[0]


# losses


@pytest.mark.parametrize("head", HEADS)
def test_without_labels_there_is_no_loss(head):
    model = make_model(head)
    out = model(**inputs_of(head))
    assert out.loss is None and "loss" not in out
    with pytest.raises(RuntimeError, match=f"^backward of {head}: no loss to start from; [^\n]*$"):
        model.backward()


@pytest.mark.parametrize("head", HEADS)
def test_backward_once_for_each_forward(head):
    model = make_model(head)
    with pytest.raises(RuntimeError, match=f"^backward of {head} needs its own forward first: [^\n]*$"):
        model.backward()
    model(**inputs_of(head), **HEADS[head])
    model.backward()
    with pytest.raises(RuntimeError, match=f"^backward of {head} needs its own forward first: [^\n]*$"):
        model.backward()
    with bertnp.inference():
        model(**inputs_of(head), **HEADS[head])
    with pytest.raises(RuntimeError, match=f"^backward of {head} needs its own forward first: [^\n]*$"):
        model.backward()


@pytest.mark.parametrize("head", HEADS)
def test_a_scaled_backward_scales_every_gradient(head):
    model = make_model(head)
    model(**inputs_of(head), **HEADS[head])
    dembeds = model.backward()
    once = model.buffer.grad.copy()
    model.zero_grad()
    model(**inputs_of(head), **HEADS[head])
    assert relative_error(model.backward(scale=-2.5), -2.5 * dembeds) < 1e-14
    assert relative_error(model.buffer.grad, -2.5 * once) < 1e-14


def test_pretraining_needs_both_labels_for_its_loss():
    model = make_model("BertForPreTraining")
    both = HEADS["BertForPreTraining"]
    for name in both:
        assert model(IDS, MASK, **{name: both[name]}).loss is None
        with pytest.raises(RuntimeError, match="no loss to start from"):
            model.backward()
    assert model(IDS, MASK, **both).loss > 0


def test_answers_need_both_positions_for_their_loss():
    model = make_model("BertForQuestionAnswering")
    assert model(IDS, start_positions=[1, 2]).loss is None
    assert model(IDS, end_positions=[1, 2]).loss is None


@pytest.mark.parametrize(
    "head", ["BertForMaskedLM", "BertForTokenClassification", "BertForSequenceClassification",
             "BertForNextSentencePrediction", "BertForMultipleChoice", "BertForQuestionAnswering"],
)  # fmt: skip
def test_where_every_label_is_ignored_the_loss_and_all_gradients_are_zero(head, device):
    model = make_model(head, device)
    labels = {name: np.full_like(array, -100) for name, array in HEADS[head].items()}
    if head == "BertForQuestionAnswering":
        labels = {name: array * 0 + 4 for name, array in labels.items()}
    out = model(**inputs_of(head), **labels)
    assert float(out.loss) == 0.0
    dembeds = model.backward()
    assert not to_numpy(dembeds).any() and not to_numpy(model.buffer.grad).any()
    logits = out.start_logits if head == "BertForQuestionAnswering" else out.logits
    assert np.isfinite(to_numpy(logits)).all() and to_numpy(logits).any()


def test_pretraining_with_no_masked_word_learns_from_the_sentences():
    model = make_model("BertForPreTraining")
    labels = {"labels": np.full_like(IDS, -100), "next_sentence_label": np.array([1, 0])}
    out = model(IDS, MASK, **labels)
    scores = np.exp(out.seq_relationship_logits)
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    assert out.loss == pytest.approx(-np.log(probabilities[[0, 1], [1, 0]]).mean(), rel=1e-14)
    model.backward()
    found = grads(model)
    assert found["cls.seq_relationship.weight"].any() and not found["cls.predictions.transform.dense.weight"].any()


# the kind of a sequence classification


@pytest.mark.parametrize(
    ("num_labels", "labels", "kind"),
    [
        (1, np.array([0.5, -1.0]), "regression"),
        (1, np.array([1, 0]), "regression"),
        (3, np.array([2, 0]), "single_label_classification"),
        (3, np.array([2, 0], np.int32), "single_label_classification"),
        (3, np.array([[2], [0]]), "single_label_classification"),
        (3, [2, 0], "single_label_classification"),
        (3, np.array([[1.0, 0, 1], [0, 0, 1]]), "multi_label_classification"),
        (3, np.array([[1.0, 0, 1], [0, 0, 1]], np.float32), "multi_label_classification"),
    ],
)
def test_the_kind_is_told_from_the_labels_and_kept(num_labels, labels, kind, device):
    model = make_model("BertForSequenceClassification", device, num_labels=num_labels)
    assert model.config.problem_type is None
    model(IDS, MASK)
    assert model.config.problem_type is None
    model(IDS, MASK, labels=labels)
    assert model.config.problem_type == kind
    model.backward()


def test_the_kind_in_the_configuration_counts():
    labels = np.array([[0.5, 1.0, 0.0], [0.25, 0.0, 1.0]])
    squares = make_model("BertForSequenceClassification", problem_type="regression")
    out = squares(IDS, MASK, labels=labels)
    assert out.loss == pytest.approx(((out.logits - labels) ** 2).mean(), rel=1e-14)
    assert squares.config.problem_type == "regression"


def test_labels_that_do_not_fit_decide_nothing():
    model = make_model("BertForSequenceClassification")
    with pytest.raises(ValueError):
        model(IDS, MASK, labels=np.array([0.5, 1.0]))
    assert model.config.problem_type is None
    assert model(IDS, MASK, labels=np.array([2, 0])).loss > 0


# logits that are worked out when they are read


def words_seen(model):
    """A list to which the masked-word head adds how many rows it was given, each time."""
    seen, forward = [], model.cls.predictions.forward

    def counting(h):
        seen.append(len(h))
        return forward(h)

    model.cls.predictions.forward = counting
    return seen


@pytest.mark.parametrize(("head", "name"), [("BertForMaskedLM", "logits"), ("BertForPreTraining", "prediction_logits")])
def test_logits_are_computed_for_labelled_positions_and_for_all_when_read(head, name):
    model = make_model(head)
    seen = words_seen(model)
    out = model(**inputs_of(head), **HEADS[head])
    assert seen == [3]
    logits = out[name]
    assert seen == [3, 7] and out[name] is logits and seen == [3, 7]  # 6 real tokens, and one that has a label
    dembeds, found = model.backward(), grads(model)  # reading them took nothing away from the backward
    model.zero_grad()
    unread = model(**inputs_of(head), **HEADS[head])
    assert np.array_equal(model.backward(), dembeds)
    assert all(np.array_equal(found[n], g) for n, g in grads(model).items())
    assert np.array_equal(unread[name], logits)  # after the backward, and before any change, it's not too late
    h = model(**inputs_of(head), **HEADS[head], output_hidden_states=True).hidden_states[-1]
    predictions = model.cls.predictions
    eager = predictions(h.reshape(8, -1)).reshape(2, 4, 9) * np.array([[1, 1, 1, 1], [1, 1, 1, 0]])[:, :, None]
    assert relative_error(logits, eager) < 1e-14


WAYS_TO_BE_LATE = {
    "another forward": lambda model: model(IDS),
    "an optimizer's step": lambda model: (model.backward(), bertnp.AdamW(model, lr=0.0).step()),
    "a changed weight": lambda model: setattr(model.cls.predictions.bias, "data", np.zeros(9)),
    "another float type": lambda model: model.astype(np.float32),
    "a resized vocabulary": lambda model: model.resize_token_embeddings(12),
}


@pytest.mark.parametrize("way", WAYS_TO_BE_LATE)
def test_logits_read_too_late(way):
    model = make_model("BertForMaskedLM")
    read = model(IDS, MASK, labels=WORD_LABELS)
    logits = read.logits
    unread = model(IDS, MASK, labels=WORD_LABELS)
    WAYS_TO_BE_LATE[way](model)
    with pytest.raises(RuntimeError, match="not read before the weights changed or another forward ran"):
        _ = unread.logits
    assert read.logits is logits


def test_logits_of_inference_can_be_read_in_any_order():
    model = make_model("BertForMaskedLM")
    with bertnp.inference():
        first, second = model(IDS), model(IDS + 0, MASK)
    assert np.array_equal(second.logits, model(IDS, MASK).logits)
    assert np.array_equal(first.logits, model(IDS).logits)


# tied words


@pytest.mark.parametrize("head", ["BertForMaskedLM", "BertForPreTraining"])
def test_the_gradient_of_tied_words_is_the_sum_of_both_uses(head):
    tied = make_model(head, pad_token_id=2)
    untied = make_model(head, pad_token_id=2, tie_word_embeddings=False)
    assert tied.cls.predictions.decoder.weight is tied.bert.embeddings.word_embeddings.weight
    for name, parameter in untied.named_parameters():
        parameter.data = dict(tied.named_parameters())[tied.tied_names.get(name, name)].data
    for model in (tied, untied):
        model(**inputs_of(head), **HEADS[head])
        model.backward()
    looked_up = untied.bert.embeddings.word_embeddings.weight.grad
    scored = untied.cls.predictions.decoder.weight.grad
    both = tied.bert.embeddings.word_embeddings.weight.grad
    assert relative_error(both, looked_up + scored) < 1e-14
    assert IDS[0, 1] == 2 and not looked_up[2].any() and scored[2].any()  # the padding word is looked up in vain
    assert looked_up[[1, 3, 4, 5, 6, 7]].all() and not looked_up[[0, 8]].any() and scored.all()


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("vocab_size", [14, 9, 8])
def test_a_resized_vocabulary_has_resized_logits(tied, vocab_size):
    model = make_model("BertForMaskedLM", tie_word_embeddings=tied)
    ids = IDS % 8
    before = model(ids).logits
    model.resize_token_embeddings(vocab_size)
    predictions = model.cls.predictions
    assert (predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight) == tied
    assert predictions.decoder.bias is predictions.bias
    after = model(ids).logits
    kept = min(vocab_size, 9)
    assert after.shape == (2, 4, vocab_size)
    assert relative_error(after[..., :kept], before[..., :kept]) < 1e-14
    if vocab_size > 9:
        model(ids, labels=np.full_like(ids, 13))
        model.backward()
        assert not predictions.bias.data[9:].any() and predictions.bias.grad[13] < 0


# bad labels

NEITHER = "give either input_ids or inputs_embeds"
BAD = [
    ("BertForMaskedLM", {"labels": IDS[:, :3]}, ValueError, "labels: expected shape (2, 4), got (2, 3)"),
    ("BertForMaskedLM", {"labels": IDS + 1}, ValueError, "labels: 9 is neither a class in 0..8 nor -100 (no label)"),
    ("BertForMaskedLM", {"labels": IDS - 2}, ValueError, "labels: -1 is neither a class in 0..8 nor -100 (no label)"),
    ("BertForMaskedLM", {"labels": IDS * 1.0}, TypeError, "labels: expected integers, got float64"),
    (
        "BertForMaskedLM",
        {"labels": [[1, 2, 3, 4], [5]]},
        ValueError,
        "labels: expected rows of one length, got lists of unequal lengths: pad them",
    ),
    ("BertForMaskedLM", {"labels": IDS, "input_ids": None}, ValueError, NEITHER),
    ("BertForTokenClassification", {"labels": IDS, "input_ids": None}, ValueError, NEITHER),
    (
        "BertForPreTraining",
        {"labels": IDS, "next_sentence_label": np.array([0, 2])},
        ValueError,
        "next_sentence_label: 2 is neither a class in 0..1 nor -100 (no label)",
    ),
    (
        "BertForPreTraining",
        {"labels": IDS, "next_sentence_label": np.array([0, 1, 1])},
        ValueError,
        "next_sentence_label: expected shape (2,), got (3,)",
    ),
    ("BertForNextSentencePrediction", {"labels": [0, 1, 0]}, ValueError, "labels: expected shape (2,), got (3,)"),
    ("BertForNextSentencePrediction", {"labels": [0.0, 1.0]}, TypeError, "labels: expected integers, got float64"),
    (
        "BertForSequenceClassification",
        {"labels": [0, 3]},
        ValueError,
        "labels: 3 is neither a class in 0..2 nor -100 (no label)",
    ),
    ("BertForSequenceClassification", {"labels": [0, 1, 2]}, ValueError, "labels: expected shape (2,), got (3,)"),
    (
        "BertForSequenceClassification",
        {"labels": np.zeros((3, 2))},
        ValueError,
        "labels: expected shape (2, 3) for multi_label_classification, got (3, 2)",
    ),
    (
        "BertForSequenceClassification",
        {"labels": [0.5, 1.0]},
        ValueError,
        "labels: expected shape (2, 3) for multi_label_classification, got (2,)",
    ),
    (
        "BertForSequenceClassification",
        {"labels": [["a", "b", "c"]] * 2},
        TypeError,
        "labels: expected numbers for multi_label_classification, got <U1",
    ),
    ("BertForTokenClassification", {"labels": [0, 1]}, ValueError, "labels: expected shape (2, 4), got (2,)"),
    (
        "BertForTokenClassification",
        {"labels": IDS},
        ValueError,
        "labels: 3 is neither a class in 0..2 nor -100 (no label)",
    ),
    (
        "BertForQuestionAnswering",
        {"start_positions": [1.0, 2.0], "end_positions": [1, 2]},
        TypeError,
        "start_positions: expected integers, got float64",
    ),
    (
        "BertForQuestionAnswering",
        {"start_positions": [1, 2], "end_positions": [1, 2, 3]},
        ValueError,
        "end_positions: expected shape (2,), got (3,)",
    ),
    (
        "BertForMultipleChoice",
        {"input_ids": IDS, "attention_mask": MASK},
        ValueError,
        "input_ids: expected (B, C, S), the choices of each example, got shape (2, 4)",
    ),
    ("BertForMultipleChoice", {"input_ids": None}, ValueError, NEITHER),
    ("BertForMultipleChoice", {"labels": [2]}, ValueError, "labels: 2 is neither a class in 0..1 nor -100 (no label)"),
    ("BertForMultipleChoice", {"labels": [0, 1]}, ValueError, "labels: expected shape (1,), got (2,)"),
]


@pytest.mark.parametrize(
    ("head", "arguments", "error", "message"), BAD, ids=[f"{head[7:]}: {message}" for head, _, _, message in BAD]
)
def test_bad_labels(head, arguments, error, message):
    model = make_model(head)
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        model(**{**inputs_of(head), **arguments})
    model(**inputs_of(head), **HEADS[head])  # what failed leaves no trace
    model.backward()


def test_the_parts_of_the_pretraining_loss_can_be_weighed_apart():
    model, labels = make_model("BertForPreTraining"), HEADS["BertForPreTraining"]
    inputs = {"input_ids": IDS, "attention_mask": MASK, **labels}
    out = model(**inputs)
    assert set(out.parts) == {"labels", "next_sentence_label"} and "parts" not in out
    words, sentences = out.parts["labels"], out.parts["next_sentence_label"]
    assert float(out.loss) == float(words.loss + sentences.loss)
    assert int(words.correct()) == (out.prediction_logits.argmax(-1) == labels["labels"]).sum()
    right = out.seq_relationship_logits.argmax(-1) == labels["next_sentence_label"]
    assert int(sentences.correct()) == right.sum()

    def gradient(scale):
        model.zero_grad()
        model(**inputs)
        model.backward(scale)
        return model.buffer.grad.copy()

    scales = ((1.0, 0.0), (0.0, 1.0), (0.3, 2.0))
    apart = [gradient({"labels": a, "next_sentence_label": b}) for a, b in scales]
    assert np.abs(apart[0]).max() > 0 and np.abs(apart[1]).max() > 0
    assert np.abs(0.3 * apart[0] + 2.0 * apart[1] - apart[2]).max() < 1e-12
    assert np.abs(apart[0] + apart[1] - gradient(1.0)).max() < 1e-12


def test_right_answers_are_counted_among_the_labelled_words():
    model = make_model("BertForMaskedLM")
    assert model(input_ids=IDS, attention_mask=MASK).parts is None
    guesses = model(input_ids=IDS, attention_mask=MASK, labels=WORD_LABELS).logits.argmax(-1)
    labels = np.where(WORD_LABELS >= 0, guesses, -100)
    assert int(model(input_ids=IDS, attention_mask=MASK, labels=labels).parts["labels"].correct()) == 3
    labels[0, 1] = (labels[0, 1] + 1) % 9
    assert int(model(input_ids=IDS, attention_mask=MASK, labels=labels).parts["labels"].correct()) == 2
