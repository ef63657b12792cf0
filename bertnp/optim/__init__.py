"""Optimisers, schedules and clipping."""

from bertnp.optim import schedules
from bertnp.optim.adam import Adam, AdamW, clip_grad_norm
from bertnp.optim.schedules import SCHEDULES

__all__ = ["Adam", "AdamW", "SCHEDULES", "clip_grad_norm", "schedules"]
