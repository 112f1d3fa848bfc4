"""Flips over time, with and without refresh, against channels multiplied out and against a simulated memory."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import qtaml_codesign as qc
from qtaml_codesign.commands.main import app
from qtaml_codesign.errors import InputError
from qtaml_codesign.plots.retention import draw_retention

CARD = qc.load_card("3nm")


@cache
def at(time_s: float) -> float:
    """p of the chain with this window."""
    return float(qc.flip_probability(CARD.with_field("window_s", time_s)).probability)


def test_left_alone_it_is_the_chain_with_that_window() -> None:
    times = [1e-8, 3e-7, 1e-6, 4e-6]
    np.testing.assert_allclose(qc.retention(CARD, times).probability, [at(time) for time in times], rtol=1e-12, atol=0)


@pytest.mark.parametrize("flips", ["symmetric", "charge_loss"])
@pytest.mark.parametrize(("time_s", "refresh_s"), [(1e-6, 3e-7), (3.3e-6, 5e-7), (1e-6, 1e-6), (2e-7, 1e-6),
                                                   (5e-6, 2.2e-6), (1e-6, 1e-9)])
def test_refresh_is_a_product_of_channels(flips: str, time_s: float, refresh_s: float) -> None:
    """The 2 x 2 transition matrices, multiplied one by one; p of the last one is well above rounding."""
    card, count = CARD.with_field("flips", flips), round(time_s / refresh_s - 0.499)
    steps = [refresh_s] * count + [time_s - count * refresh_s] * (time_s - count * refresh_s > 1e-15)
    state = np.array([1.0, 0.0])  # charged as written, lost
    for step in steps:
        p = at(step)
        back = p if flips == "symmetric" else 0.0
        state = state @ np.array([[1.0 - p, p], [back, 1.0 - back]])
    found = qc.retention(card, [time_s], refresh_s=refresh_s)
    np.testing.assert_allclose(found.refreshed, state[1], rtol=1e-6 if state[1] < 1e-9 else 1e-10, atol=0.0)


def test_rare_flips_add_up() -> None:
    """Far below the digits of 1 - p: ln p = ln(n p)."""
    for flips in ("symmetric", "charge_loss"):
        thick = CARD.with_fields({"barrier.thickness_nm": 6.0, "flips": flips})
        one = qc.retention(thick, [1e-6]).log_probability[0]
        many = qc.retention(thick, [1e-3], refresh_s=1e-6).log_refreshed
        assert many is not None
        assert many[0] == pytest.approx(one + math.log(1000.0), rel=1e-12)


def test_a_simulated_memory_agrees() -> None:
    """200,000 cells, three refreshes and a rest, keyed draws: within 6.1 standard errors (false failure 1e-9)."""
    rng, cells, p, rest = np.random.default_rng(3), 200_000, at(1e-6), at(5e-7)
    charged = np.ones(cells, bool)
    for step in (p, p, p, rest):
        charged &= rng.random(cells) >= step
    expected = qc.retention(CARD.with_field("flips", "charge_loss"), [3.5e-6], refresh_s=1e-6).refreshed
    assert expected is not None
    error = math.sqrt(expected[0] * (1.0 - expected[0]) / cells)
    assert abs(1.0 - charged.mean() - expected[0]) < 6.1 * error
    assert abs(expected[0] - 3.5 * p) > 20.0 * error  # a sum of rates would be seen


@pytest.mark.parametrize("refresh_s", [None, 1e-7])
def test_the_retention_time_is_where_p_is_reached(refresh_s: float | None) -> None:
    time = qc.retention_time_s(CARD, 0.02, refresh_s=refresh_s)
    found = qc.retention(CARD, [time], refresh_s=refresh_s)
    p = found.probability if found.refreshed is None else found.refreshed
    np.testing.assert_allclose(p, 0.02, rtol=1e-6, atol=0.0)


def test_more_refreshes_hold_longer_but_not_for_ever() -> None:
    times = [qc.retention_time_s(CARD, 0.1, refresh_s=interval) for interval in (1e-6, 3e-7, 1e-7, 3e-8)]
    assert times == sorted(times)
    assert all(np.diff(qc.retention(CARD, np.geomspace(1e-8, 1e-2, 40), refresh_s=1e-7).refreshed) > 0.0)


@pytest.mark.parametrize(("times", "refresh"), [([], None), ([0.0], None), (["soon"], None), ([1e-6], 0.0),
                                                ([math.nan], None), ([1e13], None)])
def test_what_is_no_time_is_refused(times: list[float], refresh: float | None) -> None:
    with pytest.raises(InputError, match=r"times|out of bounds"):
        qc.retention(CARD, times, refresh_s=refresh)


def test_a_limit_that_is_never_reached_is_refused() -> None:
    with pytest.raises(InputError, match="does not reach"):
        qc.retention_time_s(CARD.with_field("barrier.thickness_nm", 9.5), 0.1)


@pytest.mark.parametrize("name", qc.list_cards())
@pytest.mark.parametrize("flips", ["symmetric", "charge_loss"])
def test_every_card_has_a_curve_that_rises(name: str, flips: str) -> None:
    card = qc.load_card(name).with_field("flips", flips)
    found = qc.retention(card, np.geomspace(1e-3, 1e3, 9) * card.window_s, refresh_s=card.window_s)
    assert found.log_refreshed is not None
    for logs in (found.log_probability, found.log_refreshed):
        assert not np.isnan(logs).any()
        assert (np.diff(logs) >= 0.0).all()
    assert (found.log_refreshed <= found.log_probability + 1e-9).all()


def test_the_command(tmp_path: Path) -> None:
    table, figure = tmp_path / "r.csv", tmp_path / "r.svg"
    result = CliRunner().invoke(app, ["retention", "--device", "3nm", "--refresh", "1e-7", "--csv", str(table),
                                      "--plot", str(figure)])
    assert result.exit_code == 0, result.output
    assert "left alone: p reaches 0.1 after 1e-06 s" in " ".join(result.output.split())
    assert table.read_text().splitlines()[0] == "time_s,flip_probability,refreshed"
    assert "refreshed every" in figure.read_text()
    assert "refreshed every 100 ns" in figure.read_text()


def test_the_figure_marks_where_the_limit_is_reached() -> None:
    found = qc.retention(CARD, np.geomspace(1e-8, 1e-4, 50), refresh_s=1e-7)
    axes = draw_retention(found, 0.1, [1e-6, 1.87e-3]).axes[0]
    assert [text.get_text() for text in axes.texts] == ["1 µs"]
    (mark,) = [line for line in axes.lines if line.get_marker() == "o"]
    np.testing.assert_array_equal(mark.get_xydata(), [[1e-6, 0.1]])


def test_a_limit_is_refused_before_anything_is_shown() -> None:
    result = CliRunner().invoke(app, ["retention", "--device", "3nm", "--limit", "10"])
    assert isinstance(result.exception, InputError)
    assert "time_s" not in result.output


@pytest.mark.parametrize("flips", ["symmetric", "charge_loss"])
def test_cells_keep_their_thickness_over_the_refreshes(flips: str) -> None:
    """Each of many cells goes through its own channels; their mean is then taken, by a trapezoid rule in numpy."""
    interval, count, sigma = 1e-7, 5000, 0.05
    z = np.linspace(-9.0, 9.0, 1801)
    one = CARD.with_fields({"window_s": interval, "flips": flips})
    p = np.asarray(qc.flip_probability(one, 1.765 + sigma * z).probability)
    lost = 1.0 - (1.0 - p) ** count if flips == "charge_loss" else (1.0 - (1.0 - 2.0 * p) ** count) / 2.0
    weight = np.exp(-z * z / 2.0)
    varied = one.with_field("variation", {"thickness_sigma_nm": sigma})
    found = qc.retention(varied, [count * interval], refresh_s=interval).refreshed
    np.testing.assert_allclose(found, (lost * weight).sum() / weight.sum(), rtol=1e-9, atol=0.0)
    np.testing.assert_allclose(qc.retention(varied, [interval], refresh_s=2.0 * interval).refreshed,
                               (p * weight).sum() / weight.sum(), rtol=1e-9, atol=0.0)


def test_traps_that_stay_over_refreshes_are_refused() -> None:
    card = CARD.with_field("escape.traps", {"density_per_cm3": 1e17, "area_nm2": 264.0})
    assert qc.retention(card, [1e-6]).probability[0] > 0.1
    with pytest.raises(InputError, match="after each refresh"):
        qc.retention(card, [1e-6], refresh_s=1e-7)
