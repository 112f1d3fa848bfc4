"""Device cards: what is accepted, what is refused, and what the refusal says."""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from qtaml_codesign import cards
from qtaml_codesign.cards import DeviceCard, list_cards, load_card
from qtaml_codesign.errors import CardError

PLAIN: dict[str, Any] = {
    "schema_version": 1, "name": "mine",
    "barrier": {"height_eV": 3.1, "electron_energy_eV": 0.05, "effective_mass_m0": 0.4, "thickness_nm": 1.8},
    "cell": {"electrons": 50, "flip_threshold": 4, "attempt_frequency_Hz": 2.4e13},
    "window_s": 1e-6,
}
REGION = {"tensors": ["*embed*"], "barrier": {"thickness_nm": 2.0}}
GONE = object()


def changed(field: str, value: object) -> dict[str, Any]:
    tree = copy.deepcopy(PLAIN)
    *path, last = field.split("/")
    node = tree
    for step in path:
        node = node.setdefault(step, {})
    if value is GONE:
        del node[last]
    else:
        node[last] = value
    return tree


def refusal(action: Callable[[], object]) -> CardError:
    with pytest.raises(CardError) as caught:
        action()
    error = caught.value
    assert all(str(part).strip() for part in (error.what, error.where, error.rule, error.next_step))
    return error


@pytest.mark.parametrize("name", list_cards())
def test_shipped_cards(name: str) -> None:
    card = load_card(name)
    assert card.name == name
    assert card.description
    assert card.sources
    assert (card.storage.bits, card.storage.encoding, card.flips) == (8, "offset_binary", "symmetric")
    numbers = {"barrier.height_eV", "barrier.electron_energy_eV", "barrier.effective_mass_m0", "barrier.thickness_nm",
               "cell.electrons", "cell.flip_threshold", "cell.attempt_frequency_Hz", "window_s"}
    assert set(card.provenance) == numbers
    assert all(origin.kind and origin.source for origin in card.provenance.values())
    assert (card.sweep is None) == (name == "sram_6t")
    assert DeviceCard(**card.to_dict()) == card
    assert pickle.loads(pickle.dumps(card)) == card
    assert load_card(Path(__file__).parents[1] / "devices" / f"{name}.yaml") == card


def test_the_twelve_are_there_and_the_flagship_sweeps_as_published() -> None:
    assert len(list_cards()) == 12
    sweep = load_card("3nm").sweep
    assert sweep is not None
    assert sweep.thickness_nm == (1.72, 2.25)
    assert {name: load_card(name).storage.charged_bit for name in list_cards()} == {
        name: 0 if name in ("nor_flash_floating_gate", "charge_trap_nand") else 1 for name in list_cards()
    }


def test_a_wheel_finds_its_cards_inside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "package" / "devices").mkdir(parents=True)
    (tmp_path / "package" / "devices" / "only.yaml").write_text(yaml.safe_dump({**PLAIN, "name": "only"}))
    monkeypatch.setattr(cards, "__file__", str(tmp_path / "package" / "cards.py"))
    assert list_cards() == ["only"]
    assert load_card("only").name == "only"


@pytest.mark.parametrize(
    ("field", "value", "number"),
    [
        ("window_s", "1e-6", 1e-6), ("window_s", " 1E-6 ", 1e-6), ("barrier/thickness_nm", "2", 2.0),
        ("cell/electrons", 50.0, 50), ("cell/electrons", "5e1", 50), ("cell/attempt_frequency_Hz", "2.4e13", 2.4e13),
        ("barrier/electron_energy_eV", 0, 0.0), ("barrier/height_eV", {"value": "3.2", "low": 3, "high": 4}, 3.2),
    ],
)
def test_numbers_that_are_plainly_numbers(field: str, value: object, number: float) -> None:
    found = DeviceCard(**changed(field, value)).model_dump()
    for step in field.split("/"):
        found = found[step]
    assert found == number
    assert type(found) is type(number)


@pytest.mark.parametrize(
    "value",
    ["abc", "", "nan", "inf", "-inf", ".inf", "1e999", "1_0", "1e-6 s", "0x10", True, False, [1.0], None, {},
     float("nan"), float("inf")],
)
def test_numbers_that_are_not(value: object) -> None:
    for field in ("window_s", "barrier/thickness_nm", "cell/electrons"):
        assert field.split("/")[-1] in refusal(lambda field=field: DeviceCard(**changed(field, value))).where


BROKEN = {
    "barrier/heigth_eV": (3.1, "height_eV"),
    "barrier/oxide_thickness_nm": (1.8, "thickness_nm"),
    "height_eV": (3.1, "barrier.height_eV"),
    "storage/bit": (8, "bits"),
    "regions/a": ({**REGION, "barier": {}}, "barrier"),
    "regions/a/cell/electron": (5, "electrons"),
    "bit_planes/7/barrier/thicknes_nm": (2.0, "thickness_nm"),
    "window_s": ({"value": 1.0, "sorce": "x"}, "source"),
}


@pytest.mark.parametrize("field", BROKEN)
def test_unknown_keys_name_the_nearest_valid_one(field: str) -> None:
    value, nearest = BROKEN[field]
    error = refusal(lambda: DeviceCard(**changed(field, value)))
    assert nearest in error.next_step
    assert error.what.startswith("unknown key")


RULES: dict[str, tuple[str, object, list[str]]] = {
    "metres": ("barrier/thickness_nm", 1.7e-9, ["nanometres", "1.7"]),
    "joules": ("barrier/height_eV", 4.97e-19, ["electronvolts", "3.102"]),
    "kilograms": ("barrier/effective_mass_m0", 3.64e-31, ["free electron masses", "0.399"]),
    "negative": ("barrier/thickness_nm", -1.0, ["thickness_nm", "-1.0"]),
    "half an electron": ("cell/electrons", 50.5, ["whole number", "50.5"]),
    "text electrons": ("cell/flip_threshold", "4.5", ["whole number", "4.5"]),
    "bits": ("storage/bits", 7.5, ["whole number"]),
    "17 bits": ("storage/bits", 17, ["2 <= bits <= 16"]),
    "1 bit": ("storage/bits", 1, ["2 <= bits <= 16"]),
    "threshold": ("cell/flip_threshold", 50, ["flip_threshold < electrons = 50", "MORE than"]),
    "energy": ("barrier/electron_energy_eV", 3.1, ["electron_energy_eV < height_eV"]),
    "validity": ("validity/thickness_nm", [2.0, 3.0], ["barrier.thickness_nm", "2 <= thickness_nm <= 3"]),
    "sweep outside": ("sweep/thickness_nm", [0.01, 2.0], ["sweep.thickness_nm", "inside [0.1, 100]"]),
    "sweep reversed": ("sweep/thickness_nm", [2.0, 1.0], ["does not increase"]),
    "sweep of one": ("sweep/thickness_nm", [2.0], ["[low, high]"]),
    "sweep text": ("sweep/thickness_nm", ["a", 2], ["not a number"]),
    "encoding": ("storage/encoding", "twos-complement", ["did you mean twos_complement"]),
    "flips": ("flips", "symetric", ["did you mean symmetric"]),
    "charged bit": ("storage/charged_bit", 2, ["0 <= charged_bit <= 1"]),
    "shape": ("barrier/model", "parabolic", ["one of rectangular"]),
    "newer": ("schema_version", 2, ["newer version", "update qtaml-codesign"]),
    "older": ("schema_version", 0, ["write `schema_version: 1`"]),
    "no version": ("schema_version", GONE, ["schema_version is missing"]),
    "missing": ("cell/attempt_frequency_Hz", GONE, ["cell.attempt_frequency_Hz", "add"]),
    "missing part": ("barrier", GONE, ["barrier is missing"]),
    "part is text": ("barrier", "thick", ["a mapping of keys"]),
    "no name": ("name", "", ["not empty"]),
    "range": ("barrier/height_eV", {"value": 3.1, "low": 3.2, "high": 4}, ["barrier.height_eV", "low <= value"]),
    "kind": ("window_s", {"value": 1, "kind": "guess"}, ["measured", "window_s.kind"]),
    "no value": ("window_s", {"low": 1, "high": 2}, ["value is missing"]),
    "region without tensors": ("regions/a", {"window_s": 1}, ["regions.a.tensors", "missing"]),
    "region with no tensors": ("regions/a", {"tensors": []}, ["not empty"]),
    "region called default": ("regions/default", REGION, ["regions.default"]),
    "region with a dot": ("regions/a.b", REGION, ["not a name"]),
    "region threshold": ("regions/a", {**REGION, "cell": {"electrons": 4}}, ["regions.a.cell.flip_threshold"]),
    "region validity": ("regions/a/barrier", {"thickness_nm": 500}, ["regions.a.tensors"]),
    "region thickness": ("regions/a", {**REGION, "barrier": {"thickness_nm": 500}}, ["a.barrier.thickness_nm"]),
    "plane too high": ("bit_planes/8", {"window_s": 1}, ["no bit plane 8", "plane < 8"]),
    "plane negative": ("bit_planes/-1", {"window_s": 1}, ["no bit plane -1"]),
    "plane text": ("bit_planes/msb", {"window_s": 1}, ["bit_planes.msb"]),
    "plane energy": ("bit_planes/2", {"barrier": {"height_eV": 0.04}}, ["bit_planes.2.barrier.electron_energy_eV"]),
    "plane storage": ("bit_planes/2", {"storage": {"bits": 4}}, ["unknown key storage"]),
    "region plane": ("regions/a", {**REGION, "storage": {"bits": 4}, "bit_planes": {5: {}}}, ["a.bit_planes.5"]),
}


@pytest.mark.parametrize("case", RULES)
def test_rules(case: str) -> None:
    field, value, texts = RULES[case]
    message = str(refusal(lambda: DeviceCard(**changed(field, value))))
    for text in texts:
        assert text in message


def test_no_region_loses_an_override_of_the_card_without_a_word() -> None:
    """A region of four bits has no plane 7 to harden: it says so, or names its own planes."""
    tree = changed("regions/a", {**REGION, "storage": {"bits": 4}})
    tree["bit_planes"] = {7: {"window_s": 1e-7}}
    error = refusal(lambda: DeviceCard(**tree))
    assert error.where.endswith("regions.a.bit_planes.7")
    assert "`bit_planes` of its own" in error.next_step
    tree["regions"]["a"]["bit_planes"] = {}
    assert DeviceCard(**tree).resolve("a", 3).window_s == 1e-6


def test_all_problems_are_told_at_once() -> None:
    tree = changed("barrier/heigth_eV", 3.0)
    tree["cell"]["electrons"] = -3
    error = refusal(lambda: DeviceCard(**tree))
    assert "also cell.electrons: electrons is out of bounds" in error.what
    assert "cell.electrons" in error.what


FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "comment": (b"# nothing\n", "empty"),
    "list": (b"- 1\n- 2\n", "not a mapping"),
    "text": (b"hello", "not a mapping"),
    "not yaml": (b"name: [1, 2\nbarrier: }", "not valid YAML"),
    "tab": (b"name:\n\t- x", "not valid YAML"),
    "binary": (bytes(range(256)), "not text"),
    "nul": (b"name: a\x00b", "not valid YAML"),
    "twice": (b"name: a\nname: b\n", "line 2"),
    "twice inside": (b"barrier:\n  height_eV: 3\n  height_eV: 3\n", "height_eV stands twice"),
    "two documents": (b"name: a\n---\nname: b\n", "not valid YAML"),
    "itself": (b"a: &a [*a]\n", "not valid YAML"),
    "deep": (b"[" * 20000, "not valid YAML"),
    "large": (b"# " + b"x" * 1_100_000, "too large"),
    "mapping as key": (b"? {a: 1}\n: 2\n", "not valid YAML"),
}


@pytest.mark.parametrize("case", FILES)
def test_broken_files(case: str, tmp_path: Path) -> None:
    content, text = FILES[case]
    file = tmp_path / "card.yaml"
    file.write_bytes(content)
    error = refusal(lambda: load_card(file))
    assert text in str(error)
    assert str(file) in error.where


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    assert str(tmp_path) in refusal(lambda: load_card(tmp_path)).where
    (tmp_path / "mine.yaml").write_text("x")
    assert "mine.yaml" in refusal(lambda: load_card(tmp_path / "mien.yaml")).next_step
    for strange in ("", "  ", None, 3, "a\0b.yaml"):
        refusal(lambda strange=strange: load_card(strange))
    if os.geteuid():
        (tmp_path / "mine.yaml").chmod(0)
        refusal(lambda: load_card(tmp_path / "mine.yaml"))


def test_unknown_names_get_near_matches() -> None:
    assert "did you mean 3nm" in refusal(lambda: load_card("3mn")).next_step
    assert "edram_gain_cell" in refusal(lambda: load_card("edram")).next_step
    assert "3nm" in refusal(lambda: load_card("devices/3mn.yaml")).next_step


def test_a_file_error_names_file_and_field(tmp_path: Path) -> None:
    file = tmp_path / "card.yaml"
    file.write_text(yaml.safe_dump(changed("barrier/thickness_nm", 1.7e-9)))
    error = refusal(lambda: load_card(str(file)))
    assert error.where == f"{file}, barrier.thickness_nm"
    file.write_text(yaml.safe_dump(changed("window_s", "1e-6")))
    assert load_card(str(file)).window_s == 1e-6


def test_text_of_yaml_1_1_is_not_reinterpreted(tmp_path: Path) -> None:
    """1:30 is not ninety, 010 is ten, and a card may be called no."""
    text = yaml.safe_dump({**PLAIN, "name": "x", "window_s": "W"})
    file = tmp_path / "card.yaml"
    file.write_text(text.replace("W", "1:30"))
    assert refusal(lambda: load_card(file)).value == "1:30"
    file.write_text(text.replace("W", "010").replace("name: x", "name: no"))
    assert (load_card(file).window_s, load_card(file).name) == (10.0, "no")
