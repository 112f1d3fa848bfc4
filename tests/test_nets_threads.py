"""Memory of a forward pass that is kept for the next one."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PAGES = """
import resource, torch
from qtaml_codesign.nets.threads import single_threaded

def activations():
    for _ in range(4):
        list(map(torch.ones, [2**21] * 6))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

with single_threaded():
    first = activations()
    print(activations() - first)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators decide by rules of their own")
def test_activations_lie_on_pages_that_the_process_has_already() -> None:
    """The system counts: 6 tensors of 2048 pages, made anew four times, took fewer than one round's pages."""
    done = subprocess.run([sys.executable, "-c", PAGES], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 6 * 2048
