"""Cards made to break the reader: each ends at once, with one readable error that has all five parts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from qtaml_codesign import errors
from qtaml_codesign.card_schema import card as card_module
from qtaml_codesign.card_schema import problems
from qtaml_codesign.cards import DeviceCard, load_card
from qtaml_codesign.errors import CardError

PLAIN = """schema_version: 1
name: mine
barrier: {height_eV: 3.1, electron_energy_eV: 0.05, effective_mass_m0: 0.4, thickness_nm: 1.8}
cell: {electrons: 50, flip_threshold: 4, attempt_frequency_Hz: 2.4e13}
window_s: 1e-6
"""


def laughs(first: str, opening: str, item: str, closing: str) -> str:
    """Nine anchors, each nine times the one before: 9^9 leaves in 700 bytes."""
    lines = [f"a0: &a0 {first}"]
    for level in range(1, 10):
        inside = ", ".join(item.format(place=place, name=f"*a{level - 1}") for place in range(9))
        lines.append(f"a{level}: &a{level} {opening}{inside}{closing}")
    return "\n".join(lines) + "\n"


ATTACKS: dict[str, tuple[bytes | str, str]] = {
    "list bomb": (laughs("lol", "[", "{name}", "]") + PLAIN + "sources: *a9\n", "more than 50000"),
    "mapping bomb": (laughs("{x: 1}", "{", "k{place}: {name}", "}") + PLAIN + "regions: *a9\n", "more than 50000"),
    "many aliases": ("a: &a x\n" + PLAIN + "sources: [" + "*a, " * 50_000 + "*a]\n", "more than 50000"),
    "a mapping inside itself": (PLAIN + "regions: &a {x: *a}\n", "recursive"),
    "a list inside itself": (PLAIN + "sources: &a [*a]\n", "recursive"),
    "deep lists": (PLAIN + "sources: " + "[" * 5000 + "]" * 5000 + "\n", "nested more than 20"),
    "deep mappings": (PLAIN + "regions: " + "{a: " * 5000 + "1" + "}" * 5000 + "\n", "nested more than 20"),
    "deep blocks": (PLAIN + "regions:\n" + "".join(" " * depth + "a:\n" for depth in range(1, 300)), "more than 20"),
    "open brackets": ("[" * 100_000, "nested more than 20"),
    "too many entries": ("sources: [" + "a," * 50_000 + "a]", "more than 50000"),
    "huge number": (PLAIN.replace("1e-6", "9" * 100_000), "not finite"),
    "huge exponent": (PLAIN.replace("50,", "1e400,"), "electrons is not finite"),
    "long name": (PLAIN.replace("mine", "m" * 500_000), "at most 100 characters"),
    "long text for a number": (PLAIN.replace("1e-6", "x" * 500_000), "not a number"),
    "long key": (PLAIN + "? " + "k" * 100_000 + "\n: 1\n", "unknown key"),
    "NUL byte": (PLAIN.replace("mine", "mi\0ne"), "special characters"),
    "escape sequence": (PLAIN + 'description: "\\e[31mred"\n', "control character"),
    "half a surrogate": (PLAIN + 'description: "\\ud800"\n', "control character"),
    "half a surrogate as key": (PLAIN + '"\\ud800": 1\n', "control character"),
    "UTF-16": (PLAIN.encode("utf-16"), "not text"),
    "a key twice": (PLAIN + "window_s: 1e-7\n", "window_s stands twice"),
    "a plane twice": (PLAIN + "bit_planes: {1: {window_s: 1}, 01: {window_s: 2}}\n", "not a bit plane"),
    "tab": (PLAIN + "storage:\n\tbits: 8\n", "YAML"),
    "text": ("only text", "not a mapping"),
    "list as a key": (PLAIN + "? [a, b]\n: 1\n", "unhashable"),
    "two documents": (PLAIN + "---\n" + PLAIN, "another document"),
    "tag": (PLAIN + "description: !!python/object/apply:os.system [exit]\n", "description"),
    "too large": (b"a: 1\n" * 300_000, "too large"),
}


def refusal(path: Path) -> CardError:
    with pytest.raises(CardError) as caught:
        load_card(path)
    error = caught.value
    assert all(str(part).strip() for part in (error.what, error.where, error.rule, error.next_step))
    assert str(path) in error.where
    return error


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_ends_with_one_readable_error(name: str, tmp_path: Path) -> None:
    text, words = ATTACKS[name]
    path = tmp_path / "card.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    shown = str(refusal(path))
    assert words in shown
    assert len(shown) < 1500


def test_links_in_a_circle_folders_and_devices_without_end(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.symlink_to(two)
    two.symlink_to(one)
    (tmp_path / "folder.yaml").mkdir()
    assert "symbolic links" in refusal(one).what
    assert "directory" in refusal(tmp_path / "folder.yaml").what
    assert "too large" in refusal(Path("/dev/zero")).what


def test_twenty_thousand_unknown_keys_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first five by name, and near matches sought for them alone."""
    sought: list[str] = []
    monkeypatch.setattr(problems, "nearest", lambda name, known: sought.append(name) or errors.nearest(name, known))
    unknown: dict[str, Any] = {f"key{place}": 1 for place in range(20_000)}
    with pytest.raises(CardError) as caught:
        DeviceCard(**unknown)
    assert len(set(sought)) == 5
    assert "unknown key key0 (also key1: unknown key key1;" in caught.value.what
    assert "key4: unknown key key4; and 20,000 more)" in caught.value.what  # the five required keys are missing too
    assert len(str(caught.value)) < 1000


def test_many_sources_and_anchors_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "card.yaml"
    path.write_text(PLAIN + "sources:\n" + "".join(f"- source {place}\n" for place in range(5000)))
    assert len(load_card(path).sources) == 5000
    path.write_text(PLAIN + "regions:\n  a: &a {tensors: [x]}\n  b: *a\ndescription: \"1\\u00a0nm\\n\"\n")
    assert load_card(path).region_names == ("default", "a", "b")


def test_a_name_with_a_comma_does_not_hide_the_field(tmp_path: Path) -> None:
    path = tmp_path / "card.yaml"
    path.write_text(PLAIN.replace("mine", "mine, second").replace("3.1", "-3.1"))
    assert refusal(path).where == f"{path}, barrier.height_eV"


def test_a_card_in_a_pipe_is_read() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as out:
        out.write(PLAIN)
    try:
        assert load_card(Path(f"/dev/fd/{reading}")).name == "mine"
    finally:
        os.close(reading)


@pytest.mark.parametrize("plane", ["01", "1.0", "+1", " 1", 1.0, True])
def test_only_plain_whole_numbers_name_a_plane(plane: object) -> None:
    tree = DeviceCard(**load_card("3nm").to_dict()).to_dict()
    tree["bit_planes"] = {plane: {"window_s": 1e-7}}
    with pytest.raises(CardError, match="not a bit plane"):
        card_module.DeviceCard(**tree)
