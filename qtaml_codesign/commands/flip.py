"""`codesign flip`."""

from __future__ import annotations


def flip() -> None:
    """Placeholder for the room's owner."""
