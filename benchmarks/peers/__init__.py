"""Ours and other ways to inject weight bit errors, side by side: `python benchmarks/peers/peers.py`."""

from benchmarks.peers.peers import section

__all__ = ["section"]
