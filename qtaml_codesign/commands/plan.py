"""`codesign plan`."""

from __future__ import annotations


def plan() -> None:
    """Placeholder for the room's owner."""
