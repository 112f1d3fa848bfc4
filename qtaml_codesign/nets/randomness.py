"""Keep the global random states of torch, numpy and Python as the caller left them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def global_randomness_kept() -> Iterator[Callable[[], bool]]:
    """Restore the three global states on the way out; the yielded function tells whether any was drawn from.

    Example:
        >>> with global_randomness_kept() as was_used:
        ...     before = was_used()
        ...     _ = torch.rand(1)
        ...     print(before, was_used())
        False True
    """
    before_torch, before_numpy, before_python = torch.get_rng_state(), np.random.get_state(), random.getstate()
    before_cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []

    def was_used() -> bool:
        now = np.random.get_state()
        same_numpy = str(now[2:]) == str(before_numpy[2:]) and np.array_equal(now[1], before_numpy[1])
        same_cuda = all(map(torch.equal, before_cuda, torch.cuda.get_rng_state_all())) if before_cuda else True
        return not (
            same_numpy and same_cuda and torch.equal(torch.get_rng_state(), before_torch)
            and random.getstate() == before_python
        )

    try:
        yield was_used
    finally:
        torch.set_rng_state(before_torch)
        np.random.set_state(before_numpy)
        random.setstate(before_python)
        if before_cuda:
            torch.cuda.set_rng_state_all(before_cuda)
