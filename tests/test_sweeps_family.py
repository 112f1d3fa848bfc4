"""Sweeps over another card field: each member is the sweep that it would be alone, and the frontier moves as the
physics says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import qtaml_codesign as qc
from qtaml_codesign.commands.main import app
from qtaml_codesign.errors import InputError
from qtaml_codesign.plots.family import draw_family

ASKED = {"thickness_nm": [1.45, 1.65, 1.85], "budgets": [0.05], "methods": ["tac"], "trials": 4}
WINDOWS = [1e-7, 1e-6]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("family")


@pytest.fixture(scope="module")
def family(folder: Path) -> qc.SweepFamily:
    return qc.sweep_family("small-cnn", "3nm", {"window_s": WINDOWS}, out=folder, **ASKED)


def test_each_member_is_the_sweep_that_it_would_be_alone(family: qc.SweepFamily, folder: Path) -> None:
    alone = qc.sweep("small-cnn", qc.load_card("3nm").with_field("window_s", 1e-7), **ASKED)
    pd.testing.assert_frame_equal(family.members[0][1].to_frame(), alone.to_frame(), check_exact=True)
    assert (folder / "window_s=1e-07" / "results.sqlite").is_file()
    whole = pd.read_csv(folder / "sweep.csv")
    assert whole.columns[0] == "window_s"
    assert whole.groupby("window_s").size().tolist() == [3, 3]


def test_the_frontier_moves_as_the_physics_says(family: qc.SweepFamily) -> None:
    """The network keeps the target up to the same p at both windows, to the resolution of the bisection."""
    table = family.frontier()
    assert table["window_s"].tolist() == WINDOWS
    kept = np.log2(table["flip_probability"].to_numpy(float))
    assert abs(kept[1] - kept[0]) < 1.0 / 16.0
    cards = [qc.load_card("3nm").with_field("window_s", window) for window in WINDOWS]
    expected = np.diff([qc.thickness_for(card, float(2.0 ** kept[0])) for card in cards])
    found = np.diff(table["thickness_nm"].to_numpy(float))
    np.testing.assert_allclose(found, expected, rtol=0.05, atol=0.0)


def test_the_second_member_takes_the_trials_of_the_first(family: qc.SweepFamily) -> None:
    """The bisections of both meet at knots of the same flip probability."""
    assert family.members[1][1].borrowed_trials > 0


def test_the_same_again_is_only_read(family: qc.SweepFamily, folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.glob("*.csv")}
    again = qc.sweep_family("small-cnn", "3nm", {"window_s": WINDOWS}, out=folder, **ASKED)
    assert sum(one.new_trials for _, one in again.members) == 0
    assert {path.name: path.read_bytes() for path in folder.glob("*.csv")} == before


def test_the_figure_has_a_curve_over_the_field(family: qc.SweepFamily) -> None:
    axes = draw_family(family.frontier(), "window_s").axes[0]
    assert axes.get_xlabel() == "window_s"
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), WINDOWS)
    low, high = axes.get_ylim()
    assert high - low >= 0.01 - 1e-12


def test_no_line_leads_to_a_limit(family: qc.SweepFamily) -> None:
    """At the first window the thinnest oxide of the range already keeps the target, at the last none does."""
    one = family.frontier().iloc[:1]
    table = pd.concat([one.assign(window_s=10.0 ** -place) for place in (9, 8, 7, 6)], ignore_index=True)
    table["status"] = ["at-or-below-range", "crossing", "crossing", "beyond-range"]
    table["thickness_nm"] = [1.45, 1.6, 1.7, np.nan]
    figure = draw_family(table, "window_s", ends=(1.45, 1.85))
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [np.nan, 1.6, 1.7, np.nan])
    (limits,) = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    np.testing.assert_array_equal(limits.get_xydata(), [[1e-9, 1.45], [1e-6, 1.85]])
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    spent = f"{100.0 * one['overhead'].iloc[0]:.3g}"
    assert told[0] == f"TAC, {spent}\u00a0% overhead"
    assert len(told) == 5


@pytest.mark.parametrize("vary", [{}, {"barrier.thickness_nm": [1.7]}, {"window_s": []}, {"colour": [1.0]}])
def test_what_cannot_be_varied_is_refused(vary: dict[str, list[float]]) -> None:
    with pytest.raises(InputError):
        qc.sweep_family("small-cnn", "3nm", vary, **ASKED)


def test_the_command(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [
        "sweep", "--device", "3nm", "--vary", "cell.electrons=45,50", "--thickness", "1.7:1.78:2", "--budget",
        "0,0.05", "--method", "tac", "--trials", "2", "--workers", "1", "--no-refine", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert pd.read_csv(tmp_path / "frontier.csv")["cell.electrons"].tolist() == [45, 45, 50, 50]
    assert (tmp_path / "frontier.png").is_file()
    assert "nan" not in result.output
    assert "> 1.780" in result.output
    spent, p = pd.read_csv(tmp_path / "frontier.csv")[["overhead", "flip_probability"]].iloc[1]
    (line,) = [line.split() for line in result.output.splitlines() if line.split()[:3] == ["45", "TAC", "5"]]
    assert line[4] == f"{100.0 * spent:.4g}"
    assert float(line[-1]) == pytest.approx(p, rel=6e-3)
