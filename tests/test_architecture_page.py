"""docs/architecture.md: the rooms, the way of one datum and the files it names are those of the package."""

from __future__ import annotations

import importlib
import re

import pytest

from tests.conftest import ROOT
from tests.test_architecture import LAYERS

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROOMS, WAY, ADDED = (part.split("\n## ")[0] for part in re.split(r"\n## (?:Rooms|The way.*|To add)\n", PAGE)[1:])
HOMES = {
    "DeviceCard": "cards", "BitErrorProfile": "bits.cell_law", "Reader": "memory.reader", "Trials": "memory.trial",
}
HOPS = [row.split("|")[2].strip().strip("`") for row in WAY.splitlines() if re.match(r"\| \d+ \|", row)]


def test_rooms_stand_in_the_order_of_the_layers():
    stated = [room for row in re.findall(r"^\| (`[^|]*`) \|", ROOMS, re.M) for room in row.strip("`").split()]
    assert stated == [room for layer in LAYERS for room in layer if room != "__main__"]


def test_from_card_to_row_are_twelve_hops_at_most():
    assert 8 < len(HOPS) <= 12


@pytest.mark.parametrize("hop", HOPS)
def test_every_hop_is_there(hop):
    first = hop.split(".")[0]
    module, names = (HOMES[first], hop.split(".")) if first in HOMES else _split(hop)
    found = importlib.import_module(f"qtaml_codesign.{module}")
    for name in names:
        found = getattr(found, name)
    assert callable(found)


def _split(hop: str) -> tuple[str, list[str]]:
    parts = hop.split(".")
    last = next(index for index in range(len(parts) - 1, 0, -1)
                if (ROOT / "qtaml_codesign" / "/".join(parts[:index])).with_suffix(".py").exists())
    return ".".join(parts[:last]), parts[last:]


@pytest.mark.parametrize("file", sorted(set(re.findall(r"`((?:tests/)?\w+(?:/\w+)+\.py)`", ADDED))))
def test_every_file_to_add_to_is_there(file):
    if "NAME" not in file:
        assert (ROOT / file).exists() or (ROOT / "qtaml_codesign" / file).exists()
