"""Models of random sizes with random weights and batches, for the tests of the models.

Each is drawn from its seed by np.random.RandomState, whose numbers are the same on every computer and never change.
"""

from dataclasses import dataclass

import numpy as np

import bertnp
from bertnp.models.configuration import ACTIVATIONS

PADDINGS = ("right", "left", "none", "scattered", "3-D")


@dataclass
class Case:
    """A head, its configuration, inputs and labels (host arrays), and which positions its results are compared at.

    kept: (rows, S) truth values: real tokens, the first of each row, and whatever is read although it is padding
    """

    name: str
    head: str
    config: dict
    inputs: dict
    labels: dict
    kept: np.ndarray
    padding: str
    seed: int

    def model(self, dtype=np.float64, device="numpy", **config):
        """The model, its weights filled from the seed, in eval mode."""
        configuration = bertnp.BertConfig(**{**self.config, **config})
        model = getattr(bertnp, self.head)(configuration, dtype=dtype, device=device, init=False, seed=self.seed)
        fill(model, self.seed)
        return model.eval()

    def labels_as(self, dtype):
        """The labels; those that are no whole numbers in the model's own float type."""
        return {name: array.astype(dtype) if array.dtype.kind == "f" else array for name, array in self.labels.items()}


def fill(model, seed):
    """Weights that hide nothing: biases that aren't 0, layer norms that aren't 1, attention that isn't even."""
    rng = np.random.RandomState(seed)
    for name, parameter in model.named_parameters():
        values = rng.uniform(-1, 1, parameter.shape)
        if name.endswith("LayerNorm.weight"):
            values = 1 + 0.4 * values
        elif len(parameter.shape) == 1:
            values *= 0.3
        elif "embeddings" not in name:
            values *= 1.6 / np.sqrt(parameter.shape[1])
        parameter.data = values


def whole(rng, low, high, shape):
    return rng.randint(low, high, shape).astype(np.int64)


def some(rng, share, values):
    """The given labels at some places, -100 elsewhere, and never none at all."""
    labels = np.where(rng.uniform(size=values.shape) < share, values, -100)
    labels[0, 0] = values[0, 0]
    return labels


# What each head is asked: the class, what its configuration needs, and its labels from (rng, config, rows, S).
VARIANTS = {
    "model": ("BertModel", {}, lambda rng, config, B, S: {}),
    "pretraining": (
        "BertForPreTraining",
        {},
        lambda rng, config, B, S: {
            "labels": some(rng, 0.3, whole(rng, 0, config["vocab_size"], (B, S))),
            "next_sentence_label": whole(rng, 0, 2, B),
        },
    ),
    "masked-lm": (
        "BertForMaskedLM",
        {},
        lambda rng, config, B, S: {"labels": some(rng, 0.3, whole(rng, 0, config["vocab_size"], (B, S)))},
    ),
    "next-sentence": (
        "BertForNextSentencePrediction",
        {},
        lambda rng, config, B, S: {"labels": whole(rng, 0, 2, B)},
    ),
    "one-number": (
        "BertForSequenceClassification",
        {"num_labels": 1},
        lambda rng, config, B, S: {"labels": rng.uniform(-2, 2, B)},
    ),
    "several-numbers": (
        "BertForSequenceClassification",
        {"num_labels": 3, "problem_type": "regression"},
        lambda rng, config, B, S: {"labels": rng.uniform(-2, 2, (B, 3))},
    ),
    "one-class": (
        "BertForSequenceClassification",
        {"num_labels": 5},
        lambda rng, config, B, S: {"labels": whole(rng, 0, 5, B)},
    ),
    "several-classes": (
        "BertForSequenceClassification",
        {"num_labels": 4},
        lambda rng, config, B, S: {"labels": whole(rng, 0, 2, (B, 4)).astype(np.float64)},
    ),
    "tokens": (
        "BertForTokenClassification",
        {"num_labels": 3},
        lambda rng, config, B, S: {"labels": some(rng, 0.5, whole(rng, 0, 3, (B, S)))},
    ),
    "answers": (
        "BertForQuestionAnswering",
        {},
        lambda rng, config, B, S: {  # one start outside the text on either side
            "start_positions": np.r_[S + 3, -1, whole(rng, 0, S, B)][:B],
            "end_positions": np.r_[whole(rng, 0, S, B), S][-B:],
        },
    ),
    "choices": (
        "BertForMultipleChoice",
        {},
        lambda rng, config, B, S: {"labels": whole(rng, 0, 2, B // 2)},
    ),
}


def draw_mask(rng, padding, B, S):
    """An attention mask under which every row, or under a 3-D mask every query, may read some key."""
    if padding == "3-D":
        return whole(rng, 0, 2, (B, S, S)) | np.eye(S, dtype=np.int64)
    if padding == "scattered":
        mask = whole(rng, 0, 2, (B, S))
        mask[:, rng.randint(S)] = 1
        return mask
    lengths = rng.randint(1, S + 1, (B, 1))
    lengths[rng.randint(B)] = S
    front = (np.arange(S) < lengths).astype(np.int64)
    return front if padding == "right" else front[:, ::-1].copy()


def draw_case(variant, number, small=False):
    """The case of that number: activations, padding and ways to give the inputs take turns, sizes are random."""
    head, extra, draw_labels = VARIANTS[variant]
    place = list(VARIANTS).index(variant)
    turn = 3 * place + number
    seed = 1000 * place + number
    rng = np.random.RandomState(seed)
    A, D = (2, 3) if small else (rng.randint(1, 5), rng.randint(2, 8))
    B, S = (2, 4) if small else (2 * rng.randint(1, 4), rng.randint(5, 14))
    config = {
        "vocab_size": 7 if small else rng.randint(20, 80),
        "hidden_size": A * D,
        "num_hidden_layers": 1 + (number + place) % (2 if small else 4),
        "num_attention_heads": A,
        "intermediate_size": 5 if small else rng.randint(5, 40),
        "hidden_act": ACTIVATIONS[turn % len(ACTIVATIONS)],
        "max_position_embeddings": S + rng.randint(0, 4),
        "type_vocab_size": rng.randint(1, 4),
        "hidden_dropout_prob": (0.1, 0.25)[turn % 2],
        "attention_probs_dropout_prob": (0.25, 0.1, 0.0)[turn % 3],
        "classifier_dropout": (None, 0.25, 0.0)[number % 3],
        "layer_norm_eps": (1e-12, 1e-5)[turn % 2],
        "pad_token_id": (0, None, 3)[number % 3],
        "tie_word_embeddings": number % 2 == 0,
        **extra,
    }
    padding = PADDINGS[(place + number) % len(PADDINGS)]
    if head == "BertForMultipleChoice" and padding == "3-D":
        padding = "right"
    inputs = {}
    if turn % 4 == 3:
        inputs["inputs_embeds"] = rng.uniform(-1, 1, (B, S, A * D))
    else:
        inputs["input_ids"] = whole(rng, 0, config["vocab_size"], (B, S))
    if turn % 5:
        inputs["token_type_ids"] = whole(rng, 0, config["type_vocab_size"], (B, S))
    if turn % 3 == 1:
        inputs["position_ids"] = whole(rng, 0, config["max_position_embeddings"], (B, S))
    kept = np.ones((B, S), bool)
    if padding != "none":
        inputs["attention_mask"] = draw_mask(rng, padding, B, S)
        if padding != "3-D" and head != "BertForQuestionAnswering":
            kept = inputs["attention_mask"].astype(bool)
            kept[:, 0] = True
    labels = draw_labels(rng, config, B, S)
    if np.shape(labels.get("labels")) == (B, S):
        kept |= labels["labels"] != -100
    if head == "BertForMultipleChoice":
        inputs = {name: array.reshape(B // 2, 2, *array.shape[1:]) for name, array in inputs.items()}
    return Case(f"{variant}-{number}", head, config, inputs, labels, kept, padding, seed)


CASES = [draw_case(variant, number) for variant in VARIANTS for number in range(3)]
SMALL_CASES = [draw_case(variant, 3, small=True) for variant in VARIANTS]


def by_name(case):
    return case.name


# the gradients that a backward may start from, instead of the loss: argument -> output
COTANGENTS = {
    "BertModel": {"dlast_hidden_state": "last_hidden_state", "dpooler_output": "pooler_output"},
    "BertForPreTraining": {
        "dprediction_logits": "prediction_logits",
        "dseq_relationship_logits": "seq_relationship_logits",
    },
    "BertForQuestionAnswering": {"dstart_logits": "start_logits", "dend_logits": "end_logits"},
}


def draw_cotangents(case, out, seed=0):
    """A random gradient for each of the head's outputs, zero at positions where nothing is computed."""
    rng = np.random.RandomState(seed)
    cotangents = {}
    for argument, output in COTANGENTS.get(case.head, {"dlogits": "logits"}).items():
        value = rng.uniform(-1, 1, out[output].shape)
        if value.shape[:2] == case.kept.shape:
            value *= case.kept.reshape(*case.kept.shape, *[1] * (value.ndim - 2))
        cotangents[argument] = value
    return cotangents


def host_results(out):
    """Everything a forward returned, as host arrays by name; hidden_states.0, attentions.0, … one by one."""
    results = {}
    for name, value in out.items():
        parts = {f"{name}.{i}": part for i, part in enumerate(value)} if isinstance(value, tuple) else {name: value}
        results.update({key: np.array(bertnp.to_numpy(part)) for key, part in parts.items()})
    return results


def host_gradients(model, dembeds):
    """The gradients of every parameter and of the input embeddings, as host arrays by name."""
    gradients = {name: np.array(bertnp.to_numpy(p.grad)) for name, p in model.named_parameters()}
    return {**gradients, "input embeddings": np.array(bertnp.to_numpy(dembeds))}


def run(case, model, cotangents=None, scale=1.0):
    """A forward and, where there is something to start from, a backward: (results, gradients), host arrays by name."""
    labels = case.labels_as(model.dtype)
    inputs = case.inputs
    if "inputs_embeds" in inputs:
        embeds = inputs["inputs_embeds"].astype(model.dtype)
        inputs = {**inputs, "inputs_embeds": bertnp.to(embeds, model.device)}
    out = model(**inputs, **labels, output_hidden_states=True, output_attentions=True)
    results = host_results(out)
    if cotangents is None and "loss" not in results:
        return results, {}
    cotangents = cotangents or {}
    moved = {name: bertnp.to(array.astype(model.dtype), model.device) for name, array in cotangents.items()}
    model.zero_grad()
    return results, host_gradients(model, model.backward(scale=scale, **moved))


# comparing

FORWARD_TOLERANCE = {"float64": 1e-12, "float32": 5e-6}
GRADIENT_TOLERANCE = 1e-10


def relative_error(found, expected, smallest_scale=0.0):
    """max|found - expected| over the expected tensor's largest magnitude, or over smallest_scale if that is more."""
    assert found.shape == expected.shape
    difference = np.abs(found - expected).max()
    return difference / max(np.abs(expected).max(), smallest_scale) if difference else 0.0


def at_kept(case, name, array):
    """The part of a result that stands at positions which are computed; the whole where it has no positions."""
    if name.startswith("attentions"):
        return array.swapaxes(1, 2)[case.kept]  # the queries (B, S, A, S) that are kept
    positions = array.ndim >= 2 and array.shape[:2] == case.kept.shape
    return array[case.kept] if positions and "start" not in name and "end" not in name else array


def assert_results_agree(case, found, expected, tolerance):
    """The same results by name, and at every kept position the same values."""
    assert list(found) == list(expected)
    for name in expected:
        assert np.isfinite(found[name]).all(), name
        ours, theirs = at_kept(case, name, found[name]), at_kept(case, name, expected[name])
        assert relative_error(ours, theirs) <= tolerance, name


def assert_gradients_agree(found, expected, tolerance=GRADIENT_TOLERANCE):
    """The same gradients by name; the scale of each is at least a thousandth of the model's largest."""
    assert sorted(found) == sorted(expected)
    smallest_scale = 1e-3 * max(np.abs(gradient).max() for gradient in expected.values())
    assert smallest_scale > 0
    for name in expected:
        assert relative_error(found[name], expected[name], smallest_scale) <= tolerance, name
