"""Keep the global random states of torch, numpy and Python as the caller left them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def global_randomness_kept() -> Iterator[Callable[[], bool]]:
    """Restore the global states on the way out; the yielded function tells whether any was drawn from.

    Example:
        >>> with global_randomness_kept() as was_used:
        ...     before = was_used()
        ...     _ = torch.rand(1)
        ...     print(before, was_used())
        False True
    """
    in_torch, in_numpy, in_python = torch.get_rng_state(), np.random.get_state(), random.getstate()
    on_gpu = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    found = _fingerprint()
    try:
        yield lambda: _fingerprint() != found
    finally:
        torch.set_rng_state(in_torch)
        np.random.set_state(in_numpy)
        random.setstate(in_python)
        if on_gpu:
            torch.cuda.set_rng_state_all(on_gpu)


def _fingerprint() -> tuple[object, ...]:
    on_gpu = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    in_torch = [state.numpy().tobytes() for state in (torch.get_rng_state(), *on_gpu)]
    in_numpy = np.random.get_state(legacy=False)
    words, rest = in_numpy["state"]["key"].tobytes(), (in_numpy["state"]["pos"], in_numpy["has_gauss"])
    return in_torch, words, rest, random.getstate()
