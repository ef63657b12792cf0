"""What every layer and model shares: saving for the backward, the tree of parameters, and their flat buffers."""

import copy
import threading

import numpy as np
import pytest

from bertnp.backend import get_backend, to_numpy
from bertnp.nn import (
    Dropout,
    Embedding,
    LayerNorm,
    Linear,
    Module,
    SelfAttention,
    inference,
    is_inference,
    side_by_side,
)

x = np.random.default_rng(0).normal(size=(5, 4))


class Model(Module):
    """y = drop(norm(x W₁ᵀ + b₁)) W₂ᵀ + b₂, with its layers in attributes and in a list"""

    def __init__(self, p=0.5):
        self.first = Linear(4, 6)
        self.blocks = [LayerNorm(6), Dropout(p)]
        self.last = Linear(6, 3)

    def forward(self, x):
        norm, dropout = self.blocks
        return self.last(dropout(norm(self.first(x)), lambda dropout: np.arange(30).reshape(5, 6) % 3 > 0))

    def backward(self, dy):
        norm, dropout = self.blocks
        return self.first.backward(norm.backward(dropout.backward(self.last.backward(dy))))


class Twice(Module):
    """One layer object, called twice."""

    def __init__(self):
        self.inside = Linear(4, 4)

    def forward(self, x):
        return self.inside(self.inside(x))


class Outer(Module):
    def __init__(self):
        self.block = Twice()

    def forward(self, x):
        return self.block(x)


def model(device="numpy", dtype=np.float64, **options):
    return Model(**options).initialize(dtype=dtype, device=device)


def on(device, values=x, dtype=np.float64):
    return get_backend(device).asarray(values, dtype=dtype)


# what a forward leaves for its backward


def test_backward_without_forward_names_the_layer():
    lonely = Linear(4, 6).initialize()
    with pytest.raises(RuntimeError, match="backward of Linear needs its own forward first") as error:
        lonely.backward(x)
    assert "\n" not in str(error.value)
    net = model()
    with pytest.raises(RuntimeError, match="backward of Linear 'last' needs its own forward first"):
        net.backward(x[:, :3])
    with pytest.raises(RuntimeError, match=r"backward of LayerNorm 'blocks\.0' needs"):
        net.blocks[0].backward(x)


def test_backward_twice_is_refused(device):
    net = model(device)
    y = net(on(device))
    net.backward(y)
    before = to_numpy(net.buffer.grad).copy()
    with pytest.raises(RuntimeError, match="Linear 'last' needs its own forward first"):
        net.backward(y)
    np.testing.assert_array_equal(to_numpy(net.buffer.grad), before)


def test_a_layer_called_twice_in_one_forward_is_refused():
    net = Outer().initialize()
    with pytest.raises(RuntimeError, match=r"Linear 'block\.inside' was called twice in one forward") as error:
        net(x)
    assert "\n" not in str(error.value)
    with pytest.raises(RuntimeError, match="called twice"):
        net(x)
    with inference():
        assert net(x).shape == x.shape  # nothing is saved, so nothing is overwritten


def test_a_new_forward_replaces_what_an_unused_one_saved():
    net, other = model(), model()
    net(x * 3)
    y = net(x)
    expected = other(x)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(net.backward(y), other.backward(expected))
    np.testing.assert_array_equal(net.buffer.grad, other.buffer.grad)


def test_layers_alone_may_run_again_and_again():
    layer = Linear(4, 6).initialize()
    for _ in range(3):
        layer(x)
    layer.forward(x)
    layer.forward(x)
    layer.backward(np.ones((5, 6)))


def test_a_forward_that_failed_leaves_no_trace():
    net = model()
    with pytest.raises(ValueError):
        net(x[:, :3])
    y = net(x)
    assert net.backward(y).shape == x.shape


def test_inference_saves_nothing(device):
    net = model(device)
    expected = to_numpy(net.eval()(on(device)))
    net.train()
    net.backward(net(on(device)))
    with inference():
        assert is_inference()
        y = net(on(device))
        np.testing.assert_array_equal(to_numpy(y), expected)  # dropout is off, although the model trains
        with inference():
            net(on(device))
        assert is_inference()
        with pytest.raises(RuntimeError, match=r"needs its own forward first: .* inside inference\(\)"):
            net.backward(y)
    assert not is_inference()
    for module in (net, *[m for _, m in net.named_modules()]):
        assert module._saved is None


def test_inference_ends_with_an_error_and_holds_for_its_own_thread():
    with pytest.raises(ZeroDivisionError), inference():
        _ = 1 / 0
    assert not is_inference()
    seen = []
    with inference():
        thread = threading.Thread(target=lambda: seen.append(is_inference()))
        thread.start()
        thread.join()
    assert seen == [False]


def test_eval_turns_dropout_off_and_nothing_else():
    net = model()
    trained = net(x)
    assert net.eval() is net and not any(m.training for _, m in net.named_modules())
    y = net(x)
    assert not np.allclose(trained, y)
    np.testing.assert_array_equal(y, model(p=0.0)(x))
    dx = net.backward(y)  # what a backward needs is saved in eval too
    other = model(p=0.0)
    np.testing.assert_array_equal(dx, other.backward(other(x)))
    assert net.train() is net
    np.testing.assert_array_equal(net(x), trained)


# the tree


def test_named_parameters_walk_attributes_and_lists():
    names = ["first.weight", "first.bias", "blocks.0.weight", "blocks.0.bias", "last.weight", "last.bias"]
    net = model()
    assert [name for name, _ in net.named_parameters()] == names == [p.name for p in net.parameters()]
    assert [name for name, _ in net.named_modules()] == ["", "first", "blocks.0", "blocks.1", "last"]
    assert net.num_parameters() == 4 * 6 + 6 + 6 + 6 + 6 * 3 + 3


def test_tied_parameters_are_listed_once():
    net = Model()
    net.last = Linear(4, 6, net.first.weight)
    assert [name for name, _ in net.named_parameters()] == [
        *("first.weight", "first.bias", "blocks.0.weight", "blocks.0.bias", "last.bias")
    ]
    net.initialize()
    assert net.num_parameters() == 24 + 6 + 12 + 6
    assert net.last.weight is net.first.weight


# flat buffers


def test_parameters_are_views_into_one_aligned_buffer_decayed_ones_first(device):
    net = model(device)
    data = net.buffer.data
    assert data.shape == (net.num_parameters(),)
    if device == "numpy":
        assert data.ctypes.data % 64 == 0
    order = ["first.weight", "last.weight", "first.bias", "blocks.0.weight", "blocks.0.bias", "last.bias"]
    by_place = sorted(net.parameters(), key=lambda p: p.start)
    assert [p.name for p in by_place] == order
    assert [p.start for p in by_place] == list(np.cumsum([0] + [p.size for p in by_place])[:-1])
    assert net.buffer.decayed == 24 + 18 == by_place[2].start
    assert [p.decay for p in by_place] == [True, True, False, False, False, False]
    data[...] = get_backend(device).asarray(np.arange(data.size), dtype=np.float64)
    np.testing.assert_array_equal(to_numpy(net.first.weight.data), np.arange(24.0).reshape(6, 4))
    assert to_numpy(net.last.bias.data).tolist() == [60, 61, 62]
    net.last.bias.data[...] = -1
    assert to_numpy(data)[-3:].tolist() == [-1, -1, -1]


def test_gradients_are_views_into_a_second_buffer(device):
    net = model(device)
    assert net.buffer.grad is None and net.first.weight.grad is None
    net.backward(net(on(device)))
    assert net.buffer.grad.shape == net.buffer.data.shape and net.buffer.grad.dtype == net.buffer.data.dtype
    if device == "numpy":
        assert net.buffer.grad.ctypes.data % 64 == 0
        assert np.shares_memory(net.last.weight.grad, net.buffer.grad)
    buffer = net.buffer.grad
    net.zero_grad()
    assert net.buffer.grad is buffer and not to_numpy(net.first.weight.grad).any()


def test_values_are_copied_into_place(device):
    net = model(device, np.float32)
    before, version = net.buffer.data, net.buffer.version
    values = np.arange(24.0).reshape(6, 4)
    net.first.weight.data = values  # another type, perhaps another device
    assert net.buffer.data is before and net.buffer.version > version
    assert net.first.weight.data.dtype == np.float32
    np.testing.assert_array_equal(to_numpy(net.first.weight.data), values)
    net.first.weight.data = get_backend(device).asarray(values * 2)
    np.testing.assert_array_equal(to_numpy(net.first.weight.data), values * 2)
    with pytest.raises(ValueError, match=r"first\.weight: expected shape \(6, 4\), got \(4, 6\)") as error:
        net.first.weight.data = values.T
    assert "\n" not in str(error.value)


def test_parameters_without_values_say_what_to_do():
    layer = Linear(4, 6)
    with pytest.raises(RuntimeError, match=r"Parameter\(unnamed, \(6, 4\)\) has no values yet: call initialize\(\)"):
        _ = layer.weight.data
    assert layer.weight.grad is None and layer.dtype is None and layer.device is None


def test_a_layer_without_values_gives_itself_some_when_called():
    layer = Linear(4, 6)
    assert layer(x.astype(np.float32)).dtype == np.float32 and layer.device == "numpy"


def test_part_of_a_model_cannot_be_moved_alone():
    net = model()
    for change in (lambda: net.first.allocate(), lambda: net.first.astype(np.float32), lambda: net.first.to("strict")):
        with pytest.raises(RuntimeError, match="Linear 'first' is part of a model"):
            change()


def test_astype_rebuilds_the_buffers_and_keeps_the_values(device):
    net = model(device, np.float32)
    net.backward(net(on(device, dtype=np.float32)))
    before, values = net.buffer, to_numpy(net.buffer.data).copy()
    assert net.astype(np.float64) is net
    assert net.dtype == np.float64 and net.device == device and net.buffer is not before
    assert net.buffer.grad is None
    np.testing.assert_array_equal(to_numpy(net.buffer.data), values.astype(np.float64))
    assert all(p.buffer is net.buffer and p.data.dtype == np.float64 for p in net.parameters())
    assert all(m.buffer is net.buffer for _, m in net.named_modules())
    assert to_numpy(net(on(device))).dtype == np.float64
    np.testing.assert_array_equal(to_numpy(net.astype(np.float32).buffer.data), values)


def test_to_moves_there_and_back():
    net = model()
    expected = net(x)
    buffer, values = net.buffer, net.buffer.data.copy()
    assert net.to("cpu") is net and net.buffer is buffer  # it is there already
    assert net.to("strict") is net and net.device == "strict" and net.dtype == np.float64
    np.testing.assert_allclose(to_numpy(net(on("strict"))), expected, rtol=1e-13)
    with pytest.raises(TypeError, match="two devices"):
        net(x)
    np.testing.assert_array_equal(net.to("cpu").buffer.data, values)


def test_rebuilding_forgets_an_unused_forward():
    net = model()
    net(x)
    net.astype(np.float32)
    with pytest.raises(RuntimeError, match="needs its own forward first"):
        net.backward(x[:, :3])


def test_copies_stand_on_their_own():
    net = model()
    twin = copy.deepcopy(net)
    twin.first.weight.data[...] = 0
    assert net.first.weight.data.all() and not np.shares_memory(net.buffer.data, twin.buffer.data)
    assert twin.first.weight.buffer is twin.buffer and not twin.buffer.data[:24].any()


def test_side_by_side_needs_neighbours():
    net = model()
    with pytest.raises(RuntimeError, match=r"last\.bias does not lie behind first\.bias"):
        side_by_side([net.first.bias, net.last.bias])
    with pytest.raises(RuntimeError, match=r"first\.weight does not lie behind last\.weight"):
        side_by_side([net.last.weight, net.first.weight])
    with pytest.raises(RuntimeError, match="does not lie behind"):
        side_by_side([net.first.bias, model().blocks[0].weight])


def test_side_by_side_adds_to_all_its_parts(device):
    layer = SelfAttention(4, 2, 0.0).initialize(dtype=np.float64, device=device)
    weight, _ = layer.projections()
    weight.add_grad(on(device, np.arange(48.0).reshape(12, 4)))
    np.testing.assert_array_equal(to_numpy(layer.key.weight.grad), np.arange(16.0, 32.0).reshape(4, 4))
    np.testing.assert_array_equal(to_numpy(layer.value.weight.grad), np.arange(32.0, 48.0).reshape(4, 4))


# fresh values


def test_fresh_values(device):
    net = model(device, np.float32)
    for name in ("first.bias", "blocks.0.bias", "last.bias"):
        assert not to_numpy(dict(net.named_parameters())[name].data).any()
    assert (to_numpy(net.blocks[0].weight.data) == 1).all()
    table = Embedding(300, 50, padding_idx=2).initialize(device=device)
    values = to_numpy(table.weight.data)
    assert not values[2].any() and values[[0, 1, 3]].all()
    assert abs(values.std() - 0.02) < 0.0005 and abs(values.mean()) < 0.0005


def test_fresh_values_depend_on_seed_and_name_alone(device):
    values = {seed: to_numpy(Model().initialize(seed, device=device).buffer.data) for seed in (0, 1)}
    again = Model().initialize(0, dtype=np.float64)
    np.testing.assert_array_equal(values[0], again.buffer.data)  # on the host, in another float type
    assert not np.array_equal(values[0], values[1])
    assert not np.array_equal(again.first.weight.data.reshape(-1)[:18], again.last.weight.data.reshape(-1))
    larger = Model()
    larger.extra = Linear(7, 7)
    np.testing.assert_array_equal(larger.initialize(0).first.weight.data, again.first.weight.data)


def test_some_parameters_can_be_given_fresh_values():
    net = model()
    fresh = net.last.weight.data.copy()
    net.buffer.data[...] = 5
    net.init_weights({"last.weight"})
    np.testing.assert_array_equal(net.last.weight.data, fresh)
    assert (net.first.weight.data == 5).all()
