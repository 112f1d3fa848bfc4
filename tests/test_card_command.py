"""`codesign card`: list, show and check."""

from __future__ import annotations

from pathlib import Path

import yaml

from qtaml_codesign.cards import load_card
from tests.test_flip_command import Run


def test_card_check_tells_what_a_card_can_never_show(codesign: Run) -> None:
    assert codesign("card", "check", "3nm").stderr == ""
    assert "no sweep range" in codesign("card", "check", "sram_6t").stderr
    assert "no bit is ever seen to flip" in codesign("card", "check", "sram_6t").stderr
    assert "every bit flips" in codesign("card", "check", "3nm", "--set", "window_s=1").stderr
    thick = codesign("card", "check", "3nm", "--set", "sweep.thickness_nm=[1.2, 1.3]")
    assert "even at the thickest" in thick.stderr
    assert "even at the thinnest" in codesign("card", "check", "3nm", "--set", "sweep.thickness_nm=[3, 4]").stderr


def test_card_list_and_show(codesign: Run) -> None:
    listed = codesign("card", "list").stdout
    assert len(listed.splitlines()) == 13
    assert "1.4787e-1630" in listed
    shown = codesign("card", "show", "3nm").stdout
    for text in ("5.65872", "2.11271e-09", "2.47205", "0.0999705", "-35.267", "1.764992", "2.000611", "transition",
                 "published", "Giterman", "barrier.height_eV", "eV", "0.0999705 (all planes)"):
        assert text in shown


def test_card_show_says_when_no_thickness_reaches_a_target(codesign: Run, tmp_path: Path) -> None:
    card = load_card("ideal_paper").with_field("sweep.thickness_nm", [2.2, 2.3])
    file = tmp_path / "narrow.yaml"
    file.write_text(yaml.safe_dump(card.with_field("validity.thickness_nm", [2.2, 2.3]).to_dict()))
    shown = codesign("card", "show", file).stdout
    assert "2.267511" in shown
    assert "none inside the card's validity" in shown


def test_card_check(codesign: Run, tmp_path: Path) -> None:
    assert codesign("card", "check", "3nm").stdout.startswith("OK: 3nm")
    (tmp_path / "bad.yaml").write_text("name: x\n")
    done = codesign("card", "check", tmp_path / "bad.yaml")
    assert done.code == 2
    assert "schema_version" in done.stderr
