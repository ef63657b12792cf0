"""The schedules at the points where one can tell their values by hand."""

import math

import pytest

from bertnp.optim import SCHEDULES, schedules

N, W = 100, 10


@pytest.mark.parametrize(
    "schedule",
    [
        lambda s: schedules.constant(s, W),
        lambda s: schedules.linear(s, N, W),
        lambda s: schedules.google(s, N, W),
        lambda s: schedules.cosine(s, N, W),
        lambda s: schedules.polynomial(s, N, W),
        lambda s: schedules.inverse_sqrt(s, W),
    ],
    ids=["constant", "linear", "google", "cosine", "polynomial", "inverse_sqrt"],
)
def test_warm_up_rises_evenly_from_zero(schedule):
    assert [schedule(step) for step in range(W)] == [step / W for step in range(W)]


def test_constant():
    assert schedules.constant(0) == schedules.constant(12345, W) == 1.0


def test_linear():
    assert schedules.linear(W, N, W) == 1.0
    assert schedules.linear(55, N, W) == pytest.approx(0.5)
    assert schedules.linear(N, N, W) == schedules.linear(N + 5, N, W) == 0.0
    assert schedules.linear(0, N) == 1.0


def test_google_drops_where_the_warm_up_ends():
    assert schedules.google(W - 1, N, W) == 0.9
    assert schedules.google(W, N, W) == pytest.approx(1 - W / N)  # after a warm-up that was about to reach 1
    assert schedules.google(55, N, W) == pytest.approx(0.45)
    assert schedules.google(N, N, W) == schedules.google(N + 1, N, W) == 0.0
    long_warmup = 50
    assert schedules.google(49, N, long_warmup) - schedules.google(50, N, long_warmup) == pytest.approx(0.48)


def test_cosine():
    assert schedules.cosine(W, N, W) == 1.0
    assert schedules.cosine(W + 30, N, W) == pytest.approx((1 + math.cos(math.pi / 3)) / 2)
    assert schedules.cosine(N, N, W) == pytest.approx(0.0, abs=1e-15)
    assert schedules.cosine(W + 45, N, W, cycles=1.0) == pytest.approx(0.0, abs=1e-15)
    assert schedules.cosine(N, N, W, cycles=1.0) == pytest.approx(1.0)


def test_polynomial():
    assert schedules.polynomial(55, N, W, end=0.1, power=2.0) == pytest.approx(0.9 * 0.25 + 0.1)
    assert schedules.polynomial(N, N, W, end=0.1) == schedules.polynomial(N + 7, N, W, end=0.1) == 0.1


def test_inverse_sqrt():
    assert schedules.inverse_sqrt(W, W) == 1.0
    assert schedules.inverse_sqrt(4 * W, W) == pytest.approx(0.5)
    assert schedules.inverse_sqrt(0, 0) == 1.0
    assert schedules.inverse_sqrt(30_000, 0) == pytest.approx(0.5)


def test_noam():
    """512^-½ min(s^-½, s 4000^-1.5) counted from s = 1: it rises until s = 4000 and falls from there."""
    assert schedules.noam(0, 512) == pytest.approx(512**-0.5 * 4000**-1.5)
    assert schedules.noam(3999, 512) == pytest.approx(512**-0.5 * 4000**-0.5)
    assert schedules.noam(15999, 512) == pytest.approx(0.5 * schedules.noam(3999, 512))
    assert max(range(8000), key=lambda step: schedules.noam(step, 512)) == 3999


def test_names():
    assert set(SCHEDULES) == {"constant", "linear", "google", "cosine", "polynomial", "inverse_sqrt", "noam"}
    assert all(SCHEDULES[name] is getattr(schedules, name) for name in SCHEDULES)
