"""Whole training steps with the kernels made for CuPy: NumPy's trace, no waiting, the same bits again.

On the GPU that `-m gpu` asks for, and emulated on any computer: see `cuda_devices`.
"""

import contextlib

import numpy as np
import pytest
from cuda_devices import EMULATED, GPU, backend_of_device, by_device, kernels_of
from emulated_cuda import DEVICE, cuda_kernels
from model_cases import CASES
from strict_device import no_float64, nosync, synchronisations
from tiny_model import tiny_classifier, tiny_tokenizer, toy_sentences

import bertnp
import bertnp.functional as F
from bertnp.backend import FORMULAS, array_module, is_array, to_numpy
from bertnp.data import encode_texts
from bertnp.nn import Dropout, DropoutStreams, Packing
from bertnp.nn.packing import Queries
from bertnp.training import Trainer

TOLERANCE = {"float64": 1e-10, "float32": 1e-5}
TRAINED = [case for case in CASES if case.labels]
by_case = pytest.mark.parametrize("case", TRAINED, ids=lambda case: case.name)
NAMES = ("pretraining-0", "masked-lm-2", "tokens-2", "answers-1", "choices-0")
CHOSEN = [case for case in TRAINED if case.name in NAMES]


def train(case, device, dtype, steps, block=contextlib.nullcontext):
    """[(loss, length of the gradient) of each step] and the trained weights, with dropout, clipping and AdamW."""
    name = device if device == "numpy" else backend_of_device(device).name
    model = case.model(dtype, name).train()
    optimizer = bertnp.AdamW(model, lr=1e-3)
    inputs, labels = dict(case.inputs), case.labels_as(model.host_dtype)
    if "inputs_embeds" in inputs:
        inputs["inputs_embeds"] = bertnp.to(inputs["inputs_embeds"].astype(model.host_dtype), name)
    read = []
    for _ in range(steps):
        with block():
            out = model(**inputs, **labels)
            model.backward()
            scale, norm = bertnp.clip_grad_norm(model, 1.0)
            optimizer.step(scale)
            optimizer.zero_grad()
            read.append((out.loss, norm))
    trace = np.array([[float(to_numpy(value)) for value in pair] for pair in read])
    return trace, to_numpy(model.buffer.data)


def assert_same_trace(found, expected, tolerance):
    """Of losses and gradients. Weights may differ by more: Adam divides a gradient that is all rounding by its size."""
    np.testing.assert_allclose(found[0], expected[0], rtol=tolerance)


@by_device
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case.name)
def test_ten_steps_have_the_trace_of_numpy(case, dtype, device):
    steps = 10 if device == GPU else 3
    with kernels_of(device):
        found = train(case, device, dtype, steps)
    assert_same_trace(found, train(case, "numpy", dtype, steps), TOLERANCE[dtype])


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@by_case
def test_every_head_has_the_trace_of_numpy(case, dtype):
    assert_same_trace(train(case, GPU, dtype, 10), train(case, "numpy", dtype, 10), TOLERANCE[dtype])


@by_device
@pytest.mark.parametrize("case", CHOSEN[:3], ids=lambda case: case.name)
def test_bfloat16_stays_near(case, device):
    """Losses to 2 %: eight bits of activations. Weights and gradients are float32."""
    with kernels_of(device):
        (trace, weights) = train(case, device, "bfloat16", 4)
    expected, _ = train(case, "numpy", "float32", 4)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(trace[:, 0], expected[:, 0], rtol=2e-2)


@by_device
def test_tf32_stays_near_and_is_not_float32(device):
    case = CHOSEN[0]
    with kernels_of(device):
        exact, _ = train(case, device, "float32", 2)
        backend_of_device(device).device.tf32 = True
        try:
            trace, _ = train(case, device, "float32", 2)
        finally:
            backend_of_device(device).device.tf32 = False
    np.testing.assert_allclose(trace, exact, rtol=5e-3)
    assert not np.array_equal(trace, exact)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@by_case
def test_twice_the_same_bits(case, dtype):
    for values, again in zip(train(case, GPU, dtype, 5), train(case, GPU, dtype, 5), strict=True):
        np.testing.assert_array_equal(values, again)


# no waiting, no double precision


@contextlib.contextmanager
def strictly():
    with nosync(), no_float64():
        yield


@pytest.mark.compiler
@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case.name)
def test_a_step_waits_for_nothing_and_leaks_no_double_precision(case):
    before = synchronisations()
    with cuda_kernels():
        trace, _ = train(case, EMULATED, "float32", 2, strictly)
    assert np.isfinite(trace).all()
    assert synchronisations() - before == trace.size + 1, "only reading the losses and the weights at the end waits"


@pytest.mark.compiler
def test_how_many_launches_a_step_takes():
    """What grows with the layers, and what does not: in all, a step of BERT-base."""
    config = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 50}
    counts = []
    for layers in (2, 3):
        sizes = bertnp.BertConfig(num_hidden_layers=layers, **config)
        model = bertnp.BertForPreTraining(sizes, device="strict").train()
        optimizer = bertnp.AdamW(model)
        ids = np.arange(12).reshape(2, 6)
        labels = np.where(ids % 3, -100, ids)
        with cuda_kernels():
            for _ in range(2):
                DEVICE.calls.clear()
                model(ids, labels=labels, next_sentence_label=[0, 1])
                model.backward()
                optimizer.step(bertnp.clip_grad_norm(model, 1.0)[0])
                optimizer.zero_grad()
            counts.append(sum(DEVICE.calls.values()))
    a_layer = counts[1] - counts[0]
    assert a_layer <= 34 and counts[0] - 2 * a_layer <= 64, f"{counts}"


@pytest.mark.compiler
def test_the_trainer_waits_for_a_loss_one_step_late_and_for_nothing_else(monkeypatch):
    traces = []
    for name in ("numpy", "strict"):
        block = contextlib.nullcontext if name == "numpy" else cuda_kernels
        with block():
            model = tiny_classifier(hidden_dropout_prob=0.1, num_labels=2).to(name)
            texts, labels = zip(*toy_sentences(24), strict=True)
            examples = encode_texts(tiny_tokenizer(), texts, None, np.array([label == "pos" for label in labels]) * 1)
            trainer = Trainer(model, examples, steps=6, batch_size=8, micro_batch_size=4, evaluate_every=6,
                              lr=1e-2, seed=1)  # fmt: skip
            trace = []
            step, read = trainer.train_step, trainer.read

            def strict_step(rows, step=step):
                with nosync():
                    return step(rows)

            def reading(*unread, read=read, trainer=trainer, trace=trace):
                read(*unread)
                trace.append((unread[-1], trainer.step, trainer.loss, trainer.gradient_norm))

            monkeypatch.setattr(trainer, "train_step", strict_step)
            monkeypatch.setattr(trainer, "read", reading)
            trainer.train()
            traces.append(np.array(trace))
    np.testing.assert_allclose(traces[1], traces[0], rtol=1e-5)
    steps, when = traces[0][:, 0], traces[0][:, 1]
    assert list(steps) == [1, 2, 3, 4, 5, 6] and (when - steps).tolist() == [1, 1, 1, 1, 1, 0]


# mistakes in a step


def numpy_on_a_device_array(x, weight, bias):
    return np.matmul(x, weight.T) + bias


def a_host_array_as_index(ids, table, padding_idx=None):
    return table[np.asarray(ids)]


def a_hidden_double(x, weight, bias, eps=1e-12):
    centred = x - x.mean(axis=-1, keepdims=True)
    inv_std = 1.0 / array_module(x).sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float64(eps))
    return weight * (centred * inv_std) + bias, centred * inv_std, inv_std


def a_number_read_in_a_step(x, keep=None, p=0.0):
    return x if keep is None or float(array_module(x).abs(x).max()) == 0 else x * (1.0 / (1.0 - p))


def a_list_as_operand(x):
    return F.tanh.textbook(x) + [0.0] * x.shape[-1]


MISTAKES = {
    "linear": (numpy_on_a_device_array, TypeError, "does not support ufuncs"),
    "embedding": (a_host_array_as_index, TypeError, "a host array or list as index is copied"),
    "layer_norm": (a_hidden_double, TypeError, r"gave float64, inside no_float64\(\)"),
    "dropout": (a_number_read_in_a_step, RuntimeError, r"float\(\) makes the host wait"),
    "tanh": (a_list_as_operand, TypeError, "got a list beside a device array"),
}


@pytest.mark.compiler
@pytest.mark.parametrize("name", MISTAKES)
def test_planted_mistakes_are_found_by_a_training_step(name):
    """Each is a line that looks right, and runs on the host; the step above refuses it."""
    mistake, error, message = MISTAKES[name]
    case = next(case for case in TRAINED if case.name == "pretraining-0")
    formula = FORMULAS[name]
    formula.replace(mistake)
    try:
        assert np.isfinite(train(case, "numpy", "float64", 1)[0]).all(), "on the host nothing is noticed"
        with cuda_kernels(), pytest.raises(error, match=message):
            train(case, EMULATED, "float32", 1, strictly)
    finally:
        formula.restore()


@pytest.mark.compiler
def test_reading_the_loss_in_a_step_is_found():
    model = tiny_classifier().to("strict").train()
    with cuda_kernels(), nosync(), pytest.raises(RuntimeError, match=r"float\(\) makes the host wait"):
        float(model(np.arange(8).reshape(2, 4), labels=[0, 1]).loss)


# dropout masks


@by_device
def test_masks_drawn_on_the_device_are_those_of_the_host(device):
    rng = np.random.default_rng(0)
    keep = rng.random((3, 40)) < 0.8
    keep[:, 0] = True
    for first_example, step, p in ((0, 0, 0.1), (2**33, 2**40 + 7, 0.5)):
        streams = DropoutStreams(seed=2**63 + 1)
        streams.step = step
        packing = Packing(keep, streams=streams, first_example=first_example)
        queries = Queries(packing, np.sort(np.concatenate([packing.starts, packing.starts + 3])))
        dropout = Dropout(p)
        dropout.site = 9
        draws = [packing.draw_tokens(33), packing.draw_sequences(17), packing.draw_attention(3),
                 queries.draw_tokens(33), queries.draw_attention(3)]  # fmt: skip
        expected = [draw(dropout) for draw in draws]
        with kernels_of(device):
            there = Dropout(p)
            there.site, there.buffer = 9, bertnp.nn.ParameterBuffer([], device=backend_of_device(device))
            for draw, masks in zip(draws, expected, strict=True):
                found = draw(there)
                assert is_array(found) and not isinstance(found, np.ndarray)
                np.testing.assert_array_equal(to_numpy(found), masks)
