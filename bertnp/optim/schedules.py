"""Learning-rate schedules: functions from the number of steps done to a factor of the base learning rate."""

import math


def warmed_up(step, warmup):
    """step / warmup while that is below 1, else None"""
    return step / max(1, warmup) if step < warmup else None


def constant(step, warmup=0):
    """1 after a linear warm-up."""
    ramp = warmed_up(step, warmup)
    return 1.0 if ramp is None else ramp


def linear(step, total, warmup=0):
    """(total - step) / (total - warmup) after a linear warm-up, down to 0 at the end. Chapter 13, equation 13.5."""
    ramp = warmed_up(step, warmup)
    return max(0.0, (total - step) / max(1, total - warmup)) if ramp is None else ramp


def google(step, total, warmup=0):
    """1 - step / total after a linear warm-up, as Google trained BERT: it drops at once where the warm-up ends."""
    ramp = warmed_up(step, warmup)
    return max(0.0, 1.0 - step / max(1, total)) if ramp is None else ramp


def cosine(step, total, warmup=0, cycles=0.5):
    """(1 + cos(2π cycles p)) / 2 after a linear warm-up,  p = (step - warmup) / (total - warmup)"""
    ramp = warmed_up(step, warmup)
    if ramp is not None:
        return ramp
    progress = (step - warmup) / max(1, total - warmup)
    return max(0.0, 0.5 * (1.0 + math.cos(2.0 * math.pi * cycles * progress)))


def polynomial(step, total, warmup=0, end=0.0, power=1.0):
    """(1 - end) (1 - p)^power + end after a linear warm-up,  p = (step - warmup) / (total - warmup)"""
    ramp = warmed_up(step, warmup)
    if ramp is not None:
        return ramp
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return (1.0 - end) * (1.0 - progress) ** power + end


def inverse_sqrt(step, warmup=10_000):
    """√(warmup / step) after a linear warm-up; without one, √(W / (step + W)) with W = 10,000"""
    ramp = warmed_up(step, warmup)
    if ramp is not None:
        return ramp
    timescale = warmup or 10_000
    return math.sqrt(timescale / (step - warmup + timescale))


def noam(step, size, warmup=4000):
    """size^-½ min(s^-½, s warmup^-1½),  s = step + 1                       Vaswani et al. 2017, eq. 3

    The learning rate itself, so the base rate is 1 (or a factor).

    Chapter 18, equation 18.5.
    """
    s = step + 1
    return size**-0.5 * min(s**-0.5, s * warmup**-1.5)


SCHEDULES = {
    "constant": constant,
    "linear": linear,
    "google": google,
    "cosine": cosine,
    "polynomial": polynomial,
    "inverse_sqrt": inverse_sqrt,
    "noam": noam,
}
