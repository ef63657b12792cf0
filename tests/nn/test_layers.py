"""Every layer: its gradients are those of central differences, its numbers the same on the host and the device."""

import numpy as np
import pytest
from formula_cases import first
from gradients import STEP, assert_close

import bertnp.functional as F
from bertnp.backend import get_backend, plain_formulas, to_numpy
from bertnp.nn import (
    Activation,
    BinaryCrossEntropyLoss,
    CrossEntropyLoss,
    Dropout,
    DropoutStreams,
    Embedding,
    LayerNorm,
    Linear,
    MeanSquaredErrorLoss,
    Module,
    Packing,
    SelfAttention,
)

rng = np.random.default_rng(7)
A, H = 2, 6  # heads, hidden size
x = rng.normal(size=(7, H))
x_batch = rng.normal(size=(2, 5, 3))
ids = np.array([3, 1, 3, 0, 6, 3, 0])
labels = np.array([2, -100, 0, 1, -100, 4, -100])
kept = rng.random(x.shape) >= 0.25
targets = rng.random((7, 5))
weights = np.array([0.5, 2.0, 1.0, 3.0, 0.25, 1.5])

# of three sequences 5, 2 and 4 positions are kept, of which one is no key; and the same under a mask by query
keep = np.array([[1, 1, 1, 1, 1], [1, 0, 0, 1, 0], [1, 1, 1, 0, 1]], bool)
key_mask = keep.copy()
key_mask[2, 1] = False
by_query = rng.random((2, 5, 5)) < 0.6
by_query[..., 0] = True
by_query[1, 2] = False  # this query may read nothing
rows = rng.normal(size=(11, H))
rows_of_two = rng.normal(size=(10, H))


def draw(dropout):
    return kept


def packed(mask=key_mask, streams=None):
    return Packing(keep, mask, streams)


# name -> (makes the layer, the arguments of its forward); the first argument gets a gradient where it is of floats
LAYERS = {
    "Linear rows": (lambda: Linear(H, 5), (x,)),
    "Linear batch": (lambda: Linear(3, 5), (x_batch,)),
    "LayerNorm": (lambda: LayerNorm(H), (x,)),
    "LayerNorm with a large eps": (lambda: LayerNorm(3, eps=0.1), (x_batch,)),
    "Embedding": (lambda: Embedding(9, 4), (ids,)),
    "Dropout": (lambda: Dropout(0.25), (x, draw)),
    "Dropout of nothing": (lambda: Dropout(0.0), (x, draw)),
    "CrossEntropyLoss": (CrossEntropyLoss, (x[:, :6], labels)),
    "CrossEntropyLoss with options": (lambda: CrossEntropyLoss(0, 0.1), (x[:, :6], np.abs(labels) % 5)),
    "CrossEntropyLoss with weights": (
        lambda: CrossEntropyLoss(0, 0.1, weights),
        (x[:, :6], np.abs(labels) % 5),
    ),
    "BinaryCrossEntropyLoss": (BinaryCrossEntropyLoss, (x[:, :5], targets)),
    "BinaryCrossEntropyLoss with weights": (lambda: BinaryCrossEntropyLoss(weights[:5]), (x[:, :5], targets)),
    "MeanSquaredErrorLoss": (MeanSquaredErrorLoss, (x[:, :5], targets)),
    "SelfAttention without padding": (lambda: SelfAttention(H, A, 0.0), (rows_of_two, Packing(np.ones((2, 5), bool)))),
    "SelfAttention with padding": (lambda: SelfAttention(H, A, 0.0), (rows, packed())),
    "SelfAttention with dropout": (lambda: SelfAttention(H, A, 0.25), (rows, packed(streams=DropoutStreams(3)))),
    "SelfAttention by query": (
        lambda: SelfAttention(H, A, 0.0),
        (rows_of_two, Packing(np.ones((2, 5), bool), by_query)),
    ),
}
LAYERS |= {f"Activation {name}": (lambda name=name: Activation(name), (x,)) for name in ("linear", *Activation.known())}


def build(name, device="numpy", dtype=np.float64):
    """The layer with values that are not lazy (γ ≠ 1, β ≠ 0), and its arguments on the device."""
    make, arguments = LAYERS[name]
    layer = make().initialize(dtype=dtype, device=device)
    values = np.random.default_rng(1).normal(size=layer.buffer.data.size) * 0.7 + 0.1
    layer.buffer.data[...] = layer.buffer.backend.asarray(values, dtype=dtype)
    return layer, tuple(
        get_backend(device).asarray(a, dtype=dtype) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a
        for a in arguments
    )


def cotangent(y, device="numpy", dtype=np.float64):
    dy = np.random.default_rng(2).normal(size=y.shape) * 1.7
    return float(dy) if y.ndim == 0 else get_backend(device).asarray(dy, dtype=dtype)


def differences(layer, arguments, dy):
    """Σ dy·y by every element of the parameters and of the first argument, by central differences on the host."""

    def slope(values):
        gradient = np.zeros(values.size)
        flat = values.reshape(-1)
        for i in range(flat.size):
            at = flat[i]
            above, below = at + STEP, at - STEP
            flat[i] = above
            up = np.array(first(layer(*arguments)))
            flat[i] = below
            down = np.array(first(layer(*arguments)))
            flat[i] = at
            gradient[i] = (dy * (up - down)).sum() / (above - below)
        return gradient.reshape(values.shape)

    x = arguments[0].copy()
    arguments = (x, *arguments[1:])
    return slope(layer.buffer.data), slope(x) if x.dtype.kind == "f" else None


FORMULAS = {
    "Linear batch": lambda layer, x: F.linear(x, layer.weight.data, layer.bias.data),
    "LayerNorm": lambda layer, x: F.layer_norm(x, layer.weight.data, layer.bias.data, 1e-12)[0],
    "LayerNorm with a large eps": lambda layer, x: F.layer_norm(x, layer.weight.data, layer.bias.data, 0.1)[0],
    "Embedding": lambda layer, ids: F.embedding(ids, layer.weight.data),
    "Dropout": lambda layer, x, draw: F.dropout(x, kept, 0.25),
    "Dropout of nothing": lambda layer, x, draw: x,
    "CrossEntropyLoss": lambda layer, logits, labels: F.cross_entropy(logits, labels, -100, 0.0)[0],
    "CrossEntropyLoss with options": lambda layer, logits, labels: F.cross_entropy(logits, labels, 0, 0.1)[0],
    "CrossEntropyLoss with weights": lambda layer, logits, labels: F.weighted_cross_entropy(
        logits, labels, weights, 0, 0.1
    )[0],
    "BinaryCrossEntropyLoss": lambda layer, logits, targets: F.binary_cross_entropy(logits, targets),
    "BinaryCrossEntropyLoss with weights": lambda layer, logits, targets: F.weighted_binary_cross_entropy(
        logits, targets, weights[:5]
    ),
    "MeanSquaredErrorLoss": lambda layer, x, targets: F.mean_squared_error(x, targets),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_forward_is_the_formula(name):
    layer, arguments = build(name)
    np.testing.assert_array_equal(layer(*arguments), FORMULAS[name](layer, *arguments))


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_those_of_central_differences(name, device):
    host, host_arguments = build(name)
    dy = cotangent(first(host(*host_arguments)))
    expected, expected_dx = differences(host, host_arguments, dy)

    layer, arguments = build(name, device)
    y = first(layer(*arguments))
    dx = layer.backward(cotangent(y, device))
    for parameter_name, parameter in layer.named_parameters():
        by_differences = expected[parameter.start : parameter.start + parameter.size].reshape(parameter.shape)
        if parameter_name == "key.bias":  # shifts all scores of a query alike: its true gradient is zero
            assert np.abs(to_numpy(parameter.grad)).max() < 1e-12
            continue
        assert_close(to_numpy(parameter.grad), by_differences, 1e-7, f"{name}, {parameter_name}")
    if expected_dx is None:
        assert dx is None
    else:
        assert_close(to_numpy(dx), expected_dx, 1e-7, f"{name}, dx")


@pytest.mark.parametrize("name", LAYERS)
def test_device_gives_the_numbers_of_the_host(name):
    results = []
    for device in ("numpy", "strict"):
        layer, arguments = build(name, device, np.float32)
        with plain_formulas():  # kernels differ in rounding
            y = first(layer(*arguments))
            dx = layer.backward(cotangent(y, device, np.float32))
        results.append([to_numpy(v) for v in (y, dx, layer.buffer.grad) if v is not None])
    for on_host, on_device in zip(*results, strict=True):
        assert on_host.dtype == on_device.dtype == np.float32
        np.testing.assert_array_equal(on_host, on_device)


@pytest.mark.parametrize("name", LAYERS)
def test_backward_adds_to_the_gradients(name, device):
    layer, arguments = build(name, device)
    if layer.parameters():
        assert layer.buffer.grad is None and all(p.grad is None for p in layer.parameters())
    gradients = []
    for _ in range(2):
        y = first(layer(*arguments))
        layer.backward(cotangent(y, device))
        gradients.append(None if layer.buffer.grad is None else to_numpy(layer.buffer.grad).copy())
    if layer.parameters():
        assert gradients[0].any()
        np.testing.assert_allclose(gradients[1], 2 * gradients[0], rtol=1e-14)
        layer.zero_grad()
        assert not to_numpy(layer.buffer.grad).any()


@pytest.mark.parametrize("name", LAYERS)
def test_inputs_and_cotangents_are_untouched(name):
    layer, arguments = build(name)
    y = first(layer(*arguments))
    dy = cotangent(y)
    copies = [a.copy() for a in (*arguments, dy) if isinstance(a, np.ndarray)]
    layer(*arguments)
    layer.backward(dy)
    for before, after in zip(copies, [a for a in (*arguments, dy) if isinstance(a, np.ndarray)], strict=True):
        np.testing.assert_array_equal(before, after)


def test_activation_names():
    with pytest.raises(ValueError, match="unknown activation 'selu'; known: linear, gelu, gelu_new") as error:
        Activation("selu")
    assert "\n" not in str(error.value)
    for name, formula in {"gelu": F.gelu, "gelu_pytorch_tanh": F.gelu_new, "swish": F.silu, "tanh": F.tanh}.items():
        np.testing.assert_array_equal(Activation(name)(x), formula(x))


def test_padding_row_learns_nothing():
    layer = Embedding(9, 4, padding_idx=0).initialize(dtype=np.float64)
    layer.backward(cotangent(layer(ids)))
    assert not layer.weight.grad[0].any()
    assert layer.weight.grad[np.unique(ids[ids != 0])].all()


def test_one_linear_may_share_the_weights_of_another(device):
    """Tying is sharing the object: its gradient is the sum of both uses."""
    table = Embedding(9, 4)
    decoder = Linear(4, 9, weight=table.weight)

    class Tied(Module):
        def __init__(self):
            self.table, self.decoder = table, decoder

        def forward(self, ids):
            return self.decoder(self.table(ids))

        def backward(self, dy):
            self.table.backward(self.decoder.backward(dy))

    model = Tied().initialize(dtype=np.float64, device=device)
    assert [name for name, _ in model.named_parameters()] == ["table.weight", "decoder.bias"]
    y = model(ids)
    dy = cotangent(y, device)
    model.backward(dy)
    weight, dy = to_numpy(table.weight.data), to_numpy(dy)
    from_decoder = dy.T @ weight[ids]
    from_table = F.embedding_backward(dy @ weight, ids, weight)
    assert np.abs(from_decoder).max() > 0 < np.abs(from_table).max()
    assert_close(to_numpy(table.weight.grad), from_decoder + from_table, 1e-14, "tied weight")


# attention


def test_attention_is_that_of_its_formula_on_every_sequence_alone():
    """Packing and padding are invisible: each sequence gives what it gives by itself."""
    layer, (rows, packing) = build("SelfAttention with padding")
    y, _ = layer(rows, packing)
    start = 0
    for b in range(len(keep)):
        n = keep[b].sum()
        own = rows[start : start + n]
        query, key, value = (
            F.split_heads(F.linear(own, part.weight.data, part.bias.data)[None], A)
            for part in (layer.query, layer.key, layer.value)
        )
        alone, _ = F.attention(query, key, value, key_mask[b, keep[b]][None, None, None])
        assert_close(y[start : start + n], F.merge_heads(alone)[0], 1e-14, f"sequence {b}")
        start += n


def test_attentions_are_handed_out_on_request():
    layer, (rows, packing) = build("SelfAttention with dropout")
    assert layer(rows, packing)[1] is None
    y, attentions = layer(rows, packing, True)
    assert attentions.shape == (3, A, 5, 5)
    dropped = ~layer.dropout.keep_mask(packing.draw_attention(A))
    assert dropped.any() and not attentions[dropped].any(), "they are those after dropout"
    layer.eval()
    _, attentions = layer(rows, packing, True)
    np.testing.assert_allclose(attentions[0].sum(-1), 1)
    assert not attentions[..., ~packing.mask[2, 0, 0]][2].any()


def test_query_key_and_value_lie_side_by_side():
    layer, _ = build("SelfAttention with padding")
    weight, bias = layer.projections()
    assert weight.shape == (3 * H, H) and bias.shape == (3 * H,)
    for i, part in enumerate((layer.query, layer.key, layer.value)):
        np.testing.assert_array_equal(weight.data[i * H : (i + 1) * H], part.weight.data)
        assert np.shares_memory(weight.data, part.weight.data) and np.shares_memory(bias.data, part.bias.data)
    assert weight.decay and not bias.decay
