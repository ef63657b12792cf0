"""Adam, AdamW, clipping and schedules give the numbers of PyTorch and transformers."""

import numpy as np
import pytest

import bertnp
from bertnp.optim import schedules

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.oracle

CONFIG = {
    "vocab_size": 31,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 17,
    "max_position_embeddings": 10,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.2,
}
STEPS = 10


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Models this small only lose time by dividing their work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def pair_of_models():
    """The same model twice, in float64: ours and theirs."""
    mine = bertnp.BertForPreTraining(bertnp.BertConfig(**CONFIG), dtype=np.float64)
    rng = np.random.RandomState(1)
    for name, parameter in mine.named_parameters():  # no zeros: a key's bias would stay there but for rounding
        parameter.data = rng.uniform(-0.4, 0.4, parameter.shape) + name.endswith("LayerNorm.weight")
    theirs = transformers.BertForPreTraining(transformers.BertConfig(**CONFIG, attn_implementation="eager")).double()
    values = {name: parameter.data for name, parameter in mine.named_parameters()}
    for name, parameter in theirs.named_parameters():
        parameter.data = torch.tensor(values[name])
    return mine, theirs


def batches():
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        mask = (np.arange(9) < rng.integers(3, 10, (4, 1))).astype(int)
        ids = rng.integers(1, 31, (4, 9)) * mask
        labels = np.where(mask & (rng.random((4, 9)) < 0.4), ids, -100)
        labels[0, 0] = 3
        yield {
            "input_ids": ids,
            "attention_mask": mask,
            "labels": labels,
            "next_sentence_label": rng.integers(0, 2, 4),
        }


def their_decayed(theirs):
    """The names that transformers' own Trainer lets decay."""
    return set(transformers.Trainer.get_decay_parameter_names(None, theirs))


def assert_same_parameters(mine, theirs, tolerance=1e-9):
    ours = dict(mine.named_parameters())
    for name, parameter in theirs.named_parameters():
        expected = parameter.detach().numpy()
        assert np.abs(ours[name].data - expected).max() <= tolerance * np.abs(expected).max(), name


def test_decay_groups():
    mine, theirs = pair_of_models()
    own_names = {mine.tied_names.get(name, name) for name in their_decayed(theirs)}
    assert {name for name, parameter in mine.named_parameters() if parameter.decay} == own_names


def test_ten_steps_of_adamw():
    """With weight decay, linear warm-up, and clipping that acts on some of the steps."""
    mine, theirs = pair_of_models()
    before = {name: parameter.data.copy() for name, parameter in mine.named_parameters()}
    lr, max_norm, warmup = 2e-2, 3.0, 3
    decayed = their_decayed(theirs)
    groups = [
        {"params": [p for n, p in theirs.named_parameters() if n in decayed], "weight_decay": 0.05},
        {"params": [p for n, p in theirs.named_parameters() if n not in decayed], "weight_decay": 0.0},
    ]
    their_optimizer = torch.optim.AdamW(groups, lr=lr)
    their_schedule = transformers.get_linear_schedule_with_warmup(their_optimizer, warmup, STEPS + 2)
    optimizer = bertnp.AdamW(mine, weight_decay=0.05)
    clipped = []
    for step, batch in enumerate(batches()):
        their_optimizer.zero_grad()
        theirs(**{name: torch.tensor(array) for name, array in batch.items()}).loss.backward()
        their_norm = torch.nn.utils.clip_grad_norm_(theirs.parameters(), max_norm).item()
        their_optimizer.step()
        their_schedule.step()

        optimizer.zero_grad()
        mine(**batch)
        mine.backward()
        scale, norm = bertnp.clip_grad_norm(mine, max_norm)
        optimizer.lr = lr * schedules.linear(step, STEPS + 2, warmup)
        optimizer.step(scale)

        assert norm == pytest.approx(their_norm, rel=1e-9)
        clipped.append(bool(scale < 1))
        assert_same_parameters(mine, theirs)
    assert set(clipped) == {True, False}
    for name, parameter in mine.named_parameters():  # a key's bias adds the same to all scores of a query: no gradient
        assert name.endswith("key.bias") or np.abs(parameter.data - before[name]).max() > 1e-3, name


def test_ten_steps_of_adam():
    mine, theirs = pair_of_models()
    their_optimizer = torch.optim.Adam(theirs.parameters(), lr=5e-3)
    optimizer = bertnp.Adam(mine, lr=5e-3)
    for batch in batches():
        their_optimizer.zero_grad()
        theirs(**{name: torch.tensor(array) for name, array in batch.items()}).loss.backward()
        their_optimizer.step()
        optimizer.zero_grad()
        mine(**batch)
        mine.backward()
        optimizer.step()
        assert_same_parameters(mine, theirs)


def factors(make, steps=60):
    """The factors that one of transformers' schedules gives to the first steps."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule = make(optimizer)
    found = []
    for _ in range(steps):
        found.append(schedule.get_last_lr()[0] / 0.5)
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize("warmup", [0, 1, 7])
@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (lambda s, w: schedules.constant(s, w), lambda o, w: transformers.get_constant_schedule_with_warmup(o, w)),
        (lambda s, w: schedules.linear(s, 50, w), lambda o, w: transformers.get_linear_schedule_with_warmup(o, w, 50)),
        (lambda s, w: schedules.cosine(s, 50, w), lambda o, w: transformers.get_cosine_schedule_with_warmup(o, w, 50)),
        (
            lambda s, w: schedules.cosine(s, 50, w, cycles=1.5),
            lambda o, w: transformers.get_cosine_schedule_with_warmup(o, w, 50, num_cycles=1.5),
        ),
        (
            lambda s, w: schedules.polynomial(s, 50, w, end=1e-7 / 0.5),
            lambda o, w: transformers.get_polynomial_decay_schedule_with_warmup(o, w, 50),
        ),
        (
            lambda s, w: schedules.polynomial(s, 50, w, end=0.2, power=2.5),
            lambda o, w: transformers.get_polynomial_decay_schedule_with_warmup(o, w, 50, lr_end=0.1, power=2.5),
        ),
        (lambda s, w: schedules.inverse_sqrt(s, w), lambda o, w: transformers.get_inverse_sqrt_schedule(o, w)),
    ],
    ids=["constant", "linear", "cosine", "cosine, 1.5 cycles", "polynomial", "polynomial, squared", "inverse_sqrt"],
)
def test_schedules(mine, theirs, warmup):
    expected = factors(lambda optimizer: theirs(optimizer, warmup))
    assert [mine(step, warmup) for step in range(60)] == pytest.approx(expected, rel=1e-12, abs=1e-15)
