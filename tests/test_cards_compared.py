"""Several cards beside each other: the table against single cards, the figure, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import qtaml_codesign as qc
from qtaml_codesign.commands.main import app
from qtaml_codesign.errors import InputError
from qtaml_codesign.plots.cards import draw_cards

NAMES = ("3nm", "hfo2_highk", "sram_6t")


def told(*options: str) -> str:
    result = CliRunner().invoke(app, ["flip", *(part for name in NAMES for part in ("--device", name)), *options])
    if result.exception is not None:
        raise result.exception
    return result.output


def test_rows_are_those_of_single_cards() -> None:
    cards = [qc.load_card(name) for name in NAMES]
    table = qc.compare_cards(cards).set_index("card")
    assert tuple(table.index) == NAMES
    for card in cards:
        row = table.loc[card.name]
        assert row["log10_flip_probability"] == qc.flip_probability(card).log10_probability
        for target in (0.1, 1e-3, 1e-6):
            again = card.with_field("barrier.thickness_nm", row[f"nm_at_{target:g}"])
            np.testing.assert_allclose(qc.flip_probability(again).probability, target, rtol=1e-9, atol=0.0)
        thicker = card.with_field("barrier.thickness_nm", row["thickness_nm"] + 1e-4 * row["nm_per_decade"])
        fall = row["log10_flip_probability"] - qc.flip_probability(thicker).log10_probability
        assert fall == pytest.approx(1e-4, rel=1e-3)


def test_the_command_writes_what_it_shows(tmp_path: Path) -> None:
    shown = told("--csv", str(tmp_path / "cards.csv"), "--plot", str(tmp_path / "cards.svg"))
    assert "1.4787e-1630" in shown
    written = pd.read_csv(tmp_path / "cards.csv")
    pd.testing.assert_frame_equal(written, qc.compare_cards([qc.load_card(name) for name in NAMES]), check_exact=True)
    assert all(name in (tmp_path / "cards.svg").read_text() for name in NAMES)


def test_a_curve_and_a_dot_for_each_card() -> None:
    axes = draw_cards([qc.load_card(name) for name in NAMES]).axes[0]
    curves = [line for line in axes.lines if len(line.get_xdata()) > 1]
    assert len(curves) == 3
    for name, curve in zip(NAMES, curves, strict=True):
        thickness, log10 = curve.get_data()
        np.testing.assert_allclose(log10[[0, -1]], np.log10([0.4, 1e-12]), rtol=1e-9, atol=0.0)
        assert log10[77] == qc.flip_probability(qc.load_card(name), thickness[77]).log10_probability
    dots = [line.get_xydata()[0].tolist() for line in axes.lines if len(line.get_xdata()) == 1]
    assert [dot[0] for dot in dots] == [1.765, 5.54, 1.765]
    assert dots[2][1] == -12.0  # of a card that flips less often than the axes show


@pytest.mark.parametrize(("options", "text"), [
    (("--vary", "window_s=1e-7:1e-6:2"), "an option of one card"), (("--thickness", "1.7:1.8:2"), "an option of one"),
    (("--corners",), "an option of one card"), (("--device", "3nm"), "compared by their names"),
    (("--plot", "cards.bmp"), "does not say its format")])
def test_what_several_cards_cannot_have(options: tuple[str, ...], text: str) -> None:
    with pytest.raises(InputError, match=text):
        told(*options)
