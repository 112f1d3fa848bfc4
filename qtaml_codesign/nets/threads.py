"""Torch on one thread, so that sums come out the same bit for bit on every machine, and on memory that stays."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

HEAP = 30 * 2**20
"""Bytes; glibc follows blocks of up to 32 MiB."""

_lock = threading.Lock()
_inside = 0
_before = 1


@contextmanager
def single_threaded() -> Iterator[None]:
    """Torch works on one intra-op thread inside; the last one out restores the number found by the first one in.

    The memory of one forward pass is kept for the next: glibc keeps what is freed once a block as large has been freed,
    and else takes fresh pages for every activation, a fifth of a trial of a small network.

    Example:
        >>> with single_threaded():
        ...     torch.get_num_threads()
        1
    """
    global _inside, _before
    with _lock:
        if _inside == 0:
            _before = torch.get_num_threads()
            np.empty(HEAP, np.uint8)  # freed at once
        _inside += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                torch.set_num_threads(_before)
