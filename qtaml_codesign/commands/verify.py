"""`codesign verify`."""

from __future__ import annotations


def verify() -> None:
    """Placeholder for the room's owner."""
