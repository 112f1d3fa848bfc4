"""One torch thread, so that sums come out the same bit for bit on every machine and in every worker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.Lock()
_inside = 0
_before = 1


@contextmanager
def single_threaded() -> Iterator[None]:
    """Torch works on one intra-op thread inside; the last one out restores the number found by the first one in.

    Example:
        >>> with single_threaded():
        ...     torch.get_num_threads()
        1
    """
    global _inside, _before
    with _lock:
        if _inside == 0:
            _before = torch.get_num_threads()
        _inside += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                torch.set_num_threads(_before)
