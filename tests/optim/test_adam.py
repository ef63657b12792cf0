"""Adam, AdamW and clipping on a small module, against the formulas written out element by element."""

import math
import warnings

import numpy as np
import pytest
import strict_device

import bertnp
import bertnp.optim.adam
from bertnp import nn
from bertnp.backend import to_numpy
from bertnp.optim import Adam, AdamW, clip_grad_norm


class Small(nn.Module):
    """Two matrices that decay, and biases and a layer norm that don't."""

    def __init__(self):
        self.first = nn.Linear(5, 4)
        self.norm = nn.LayerNorm(4)
        self.second = nn.Linear(4, 3)


def small(device="numpy", dtype=np.float64):
    model = Small().initialize(dtype=dtype, device=device)
    rng = np.random.RandomState(0)
    for parameter in model.parameters():
        parameter.data = rng.uniform(-1, 1, parameter.shape)
    return model


def set_gradients(model, step, size=1.0):
    """Random gradients, the same for every model of this kind."""
    rng = np.random.RandomState(100 + step)
    model.zero_grad()
    for parameter in model.parameters():
        gradient = rng.uniform(-size, size, parameter.shape).astype(model.dtype)
        parameter.add_grad(bertnp.to(gradient, model.device))


def values(model):
    return {name: np.array(to_numpy(parameter.data)) for name, parameter in model.named_parameters()}


class Slow:
    """The update written out, one number at a time, in double precision."""

    def __init__(self, model, lr, betas, eps, weight_decay, bias_correction):
        self.numbers = {}
        for name, parameter in model.named_parameters():
            decay = weight_decay if parameter.decay else 0.0
            for place, value in np.ndenumerate(to_numpy(parameter.data)):
                self.numbers[name, place] = [float(value), 0.0, 0.0, decay]
        self.lr, self.betas, self.eps, self.bias_correction = lr, betas, eps, bias_correction
        self.t = 0

    def step(self, model, scale=1.0):
        self.t += 1
        beta1, beta2 = self.betas
        gradients = {name: to_numpy(parameter.grad) for name, parameter in model.named_parameters()}
        for (name, place), number in self.numbers.items():
            value, m, v, decay = number
            g = float(gradients[name][place]) * scale
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g * g
            m_hat = m / (1 - beta1**self.t) if self.bias_correction else m
            v_hat = v / (1 - beta2**self.t) if self.bias_correction else v
            number[:3] = value - self.lr * (m_hat / (math.sqrt(v_hat) + self.eps) + decay * value), m, v

    def compare(self, model, tolerance=1e-13):
        found = values(model)
        for (name, place), number in self.numbers.items():
            assert found[name][place] == pytest.approx(number[0], rel=tolerance, abs=tolerance), (name, place)


RULES = {
    "adam": (Adam, {"lr": 0.1}, (0.1, (0.9, 0.999), 1e-8, 0.0, True)),
    "adamw": (AdamW, {"lr": 0.1}, (0.1, (0.9, 0.999), 1e-8, 0.01, True)),
    "other numbers": (
        AdamW,
        {"lr": 0.2, "betas": (0.8, 0.98), "eps": 1e-3, "weight_decay": 0.3},
        (0.2, (0.8, 0.98), 1e-3, 0.3, True),
    ),
    "google": (
        AdamW,
        {"lr": 0.1, "eps": 1e-6, "bias_correction": False},
        (0.1, (0.9, 0.999), 1e-6, 0.01, False),
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_steps_follow_the_formula(rule, device):
    optimizer_class, arguments, numbers = RULES[rule]
    model = small(device)
    slow, optimizer = Slow(model, *numbers), optimizer_class(model, **arguments)
    for step in range(5):
        set_gradients(model, step)
        slow.step(model)
        optimizer.step()
        slow.compare(model)


def test_google_clips_by_the_global_norm(device):
    """g · clip / max(‖g‖, clip), as TensorFlow does: long gradients are cut, short ones stay as they are."""
    model = small(device)
    slow = Slow(model, 0.1, (0.9, 0.999), 1e-6, 0.01, False)
    optimizer = AdamW(model, lr=0.1, eps=1e-6, bias_correction=False)
    for step, size in enumerate((1.0, 0.05, 3.0)):
        set_gradients(model, step, size)
        norm = math.sqrt(sum((to_numpy(p.grad) ** 2).sum() for p in model.parameters()))
        assert (norm > 1.0) == (size >= 1.0)
        slow.step(model, 1.0 / max(norm, 1.0))
        scale, found_norm = clip_grad_norm(model, 1.0, eps=0.0)
        assert float(found_norm) == pytest.approx(norm, rel=1e-14)
        optimizer.step(scale)
        slow.compare(model)


def test_clipping_leaves_the_gradients_alone_and_survives_zeros():
    model = small()
    set_gradients(model, 0)
    before = model.buffer.grad.copy()
    scale, norm = clip_grad_norm(model, 0.5)
    assert scale == pytest.approx(0.5 / (norm + 1e-6)) and norm == pytest.approx(np.linalg.norm(before))
    assert np.array_equal(model.buffer.grad, before)
    model.zero_grad()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for eps in (0.0, 1e-6):
            assert clip_grad_norm(model, 0.5, eps) == (1.0, 0.0)


def test_the_blocks_of_an_update_do_not_show(monkeypatch):
    whole, cut = small(), small()
    optimizers = AdamW(whole, lr=0.1), AdamW(cut, lr=0.1)
    for step in range(3):
        for model, optimizer, block in zip((whole, cut), optimizers, (1 << 16, 7), strict=True):
            monkeypatch.setattr(bertnp.optim.adam, "BLOCK", block)
            set_gradients(model, step)
            optimizer.step()
    assert np.array_equal(whole.buffer.data, cut.buffer.data)


def test_updates_are_in_place():
    model = small()
    data, weight = model.buffer.data, model.first.weight.data
    before = weight.copy()
    set_gradients(model, 0)
    AdamW(model, lr=0.1).step()
    assert model.buffer.data is data
    assert np.array_equal(weight, model.first.weight.data) and not np.array_equal(weight, before)


def test_a_step_waits_for_no_device_and_stays_in_float32():
    on_device, on_host = small("strict", np.float32), small("numpy", np.float32)
    optimizers = AdamW(on_device), AdamW(on_host)
    for step in range(3):
        for model, optimizer in zip((on_device, on_host), optimizers, strict=True):
            set_gradients(model, step)
            with bertnp.plain_formulas(), strict_device.nosync(), strict_device.no_float64():
                scale, _ = clip_grad_norm(model, 1.0)
                optimizer.lr = 0.1 / (step + 1)
                optimizer.step(scale)
                optimizer.zero_grad()
    for name, array in values(on_device).items():
        assert array.dtype == np.float32 and np.array_equal(array, values(on_host)[name])


def test_a_saved_state_goes_on_bit_for_bit(device):
    straight, resumed = small(device), small(device)
    optimizer, first = AdamW(straight, lr=0.1), AdamW(resumed, lr=0.1)
    for step in range(2):
        for model, one in ((straight, optimizer), (resumed, first)):
            set_gradients(model, step)
            one.step()
    state = first.state_dict()
    assert state["steps"] == 2 and type(state["mean"]) is type(state["variance"]) is np.ndarray
    second = AdamW(resumed, lr=0.1)
    second.load_state_dict(state)
    for model, one in ((straight, optimizer), (resumed, second)):
        set_gradients(model, 2)
        one.step()
    assert all(np.array_equal(array, values(resumed)[name]) for name, array in values(straight).items())


def test_a_state_of_another_size_is_refused():
    optimizer = AdamW(small())
    state = optimizer.state_dict()
    with pytest.raises(ValueError, match=r"^mean: expected shape \(47,\), got \(46,\)$"):
        optimizer.load_state_dict({**state, "mean": state["mean"][:-1]})


def test_moments_take_no_memory_before_the_first_step(device):
    model = small(device)
    optimizer = AdamW(model)
    optimizer.zero_grad()
    assert optimizer.mean is optimizer.variance is None
    set_gradients(model, 0)
    assert optimizer.mean is optimizer.variance is None
    optimizer.step()
    assert optimizer.mean.shape == optimizer.variance.shape == model.buffer.data.shape


def test_zero_grad():
    model = small()
    optimizer = AdamW(model)
    optimizer.zero_grad()  # nothing there yet
    set_gradients(model, 0)
    optimizer.zero_grad()
    assert not model.buffer.grad.any()


def test_without_gradients_there_is_no_step():
    model = small()
    with pytest.raises(RuntimeError, match="call model.backward"):
        AdamW(model).step()
    with pytest.raises(RuntimeError, match="call model.backward"):
        clip_grad_norm(model, 1.0)


@pytest.mark.parametrize("change", [lambda m: m.astype(np.float32), lambda m: m.to("strict")], ids=["astype", "to"])
def test_an_optimizer_of_an_older_layout_is_refused(change):
    model = small()
    optimizer = AdamW(model)
    set_gradients(model, 0)
    optimizer.step()
    change(model)
    for call in (optimizer.step, optimizer.zero_grad):
        with pytest.raises(RuntimeError, match="laid out anew .* make a new one"):
            call()
    set_gradients(model, 0)
    AdamW(model).step()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": -1e-3}, "lr: expected a number of at least 0, got -0.001"),
        ({"lr": math.nan}, "lr: expected a number of at least 0, got nan"),
        ({"eps": -1.0}, "eps: expected a number of at least 0, got -1.0"),
        ({"weight_decay": -0.1}, "weight_decay: expected a number of at least 0, got -0.1"),
        ({"betas": (0.9, 1.0)}, r"betas: expected two numbers in \[0, 1\), got \(0.9, 1.0\)"),
        ({"betas": (0.9,)}, r"betas: expected two numbers in \[0, 1\), got \(0.9,\)"),
    ],
)
def test_bad_numbers(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        AdamW(small(), **arguments)


@pytest.mark.parametrize("max_norm", [0.0, -1.0, math.nan])
def test_bad_max_norm(max_norm):
    model = small()
    set_gradients(model, 0)
    with pytest.raises(ValueError, match="^max_norm: expected a positive number"):
        clip_grad_norm(model, max_norm)


def test_factors_of_the_learning_rate_and_frozen_parameters(device):
    """Each parameter moves as with a learning rate of its own; a frozen one stays, and counts nothing in clipping."""
    factors = {"first.weight": 0.5, "norm.bias": 0.25, "second.weight": 0.0, "second.bias": 0.0}
    model = small(device)
    before = values(model)
    optimizer = AdamW(model, lr=0.1, lr_factors=factors)
    slows = {factor: Slow(model, 0.1 * factor, (0.9, 0.999), 1e-8, 0.01, True) for factor in (1.0, 0.5, 0.25)}
    for step in range(3):
        set_gradients(model, step)
        for slow in slows.values():
            slow.step(model)
        optimizer.step()
    found, where = values(model), dict(model.named_parameters())
    for name, array in found.items():
        factor = factors.get(name, 1.0)
        if factor == 0:
            assert np.array_equal(array, before[name])
            frozen = slice(where[name].start, where[name].start + where[name].size)
            assert not to_numpy(optimizer.mean)[frozen].any() and not to_numpy(optimizer.variance)[frozen].any()
        else:
            for place, value in np.ndenumerate(array):
                assert value == pytest.approx(slows[factor].numbers[name, place][0], rel=1e-13), name
    set_gradients(model, 9)
    moving = [to_numpy(p.grad) for name, p in model.named_parameters() if factors.get(name) != 0]
    optimizer.drop_frozen_gradients()
    _, norm = clip_grad_norm(model, 1.0)
    assert float(norm) == pytest.approx(math.sqrt(sum((g**2).sum() for g in moving)), rel=1e-14)
    with pytest.raises(ValueError, match="lr_factors: the model has no parameter 'third'"):
        AdamW(model, lr_factors={"third": 1.0})
