"""`codesign evaluate`."""

from __future__ import annotations


def evaluate() -> None:
    """Placeholder for the room's owner."""
