"""`codesign sweep`."""

from __future__ import annotations


def sweep() -> None:
    """Placeholder for the room's owner."""
