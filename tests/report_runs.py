"""A small finished run, and one whose names would be markup if a page let them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import qtaml_codesign as qc

HOSTILE = "</script><img src=x onerror=alert(1)>&amp;\u2028'\""
SMALL = {"thickness_nm": [1.74, 1.78, 1.85, 2.0], "budgets": [0.05, 0.25], "methods": ("tac", "uniform-msp"),
         "trials": 3, "refine": False}


def finish(folder: Path, workload: qc.Workload, card: qc.DeviceCard | str = "3nm", **other: object) -> Path:
    """A run of a few trials."""
    qc.sweep(workload, card, out=folder, **{**SMALL, **other})
    return folder


def hostile_card() -> qc.DeviceCard:
    """The 3 nm card with markup in its name, description and sources."""
    return qc.load_card("3nm").with_fields({"name": HOSTILE, "description": HOSTILE, "sources": [HOSTILE]})


class Elements(HTMLParser):
    """Every start tag of a page with its attributes, and the text of its scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags:
            self.texts.append((self.tags[-1][0], data))

    def inside(self, tag: str) -> list[str]:
        """Texts in elements of a tag, one for each element."""
        return [text for found, text in self.texts if found == tag and text.strip()]


def scripts_of(page: str) -> list[str]:
    """Text of each script element, as the HTML standard ends it: at the first `</script`."""
    return re.findall(r"<script[^>]*>(.*?)</script", page, re.DOTALL)
