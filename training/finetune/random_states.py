"""Keeps the random numbers of a run as they are while something beside its training uses some."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy
import torch


@contextmanager
def keep_random_states(*, of_gpus: bool) -> Iterator[None]:
    """Restore the random states of Python, NumPy and torch at the end, so that training continues as if nobody had used
    them. With `of_gpus`, those of the GPUs too, which waits for each of them."""
    states = random.getstate(), numpy.random.get_state(), torch.get_rng_state()
    gpu_states = torch.cuda.get_rng_state_all() if of_gpus else []
    try:
        yield
    finally:
        random.setstate(states[0])
        numpy.random.set_state(states[1])
        torch.set_rng_state(states[2])
        if of_gpus:
            torch.cuda.set_rng_state_all(gpu_states)
