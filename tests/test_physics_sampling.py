"""Ranges of a card: draws, bands and corners."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

import qtaml_codesign as qc
from qtaml_codesign.commands.main import app
from qtaml_codesign.errors import InputError
from qtaml_codesign.physics.sampling import corner_table, drawn_numbers, flip_band, thickness_band

MASS, HEIGHT = "barrier.effective_mass_m0", "barrier.height_eV"
CARD = qc.load_card("3nm").with_fields({
    MASS: {"value": 0.4, "low": 0.36, "high": 0.42}, HEIGHT: {"value": 3.1, "low": 3.0, "high": 3.2}})


def test_draws_have_the_value_as_median_and_stay_in_the_range() -> None:
    """Kolmogorov-Smirnov against the two log-uniform halves; each field fails falsely with probability 1e-6."""
    for field, (low, value, high) in {MASS: (0.36, 0.4, 0.42), HEIGHT: (3.0, 3.1, 3.2)}.items():
        drawn = drawn_numbers(CARD, 4000)[field]
        assert low <= drawn.min() < drawn.max() <= high
        side = np.where(drawn < value, 0.5 - 0.5 * np.log(drawn / value) / math.log(low / value),
                        0.5 + 0.5 * np.log(drawn / value) / math.log(high / value))
        assert stats.kstest(side, "uniform").pvalue > 1e-6


def test_draws_of_a_field_hang_on_its_name_and_the_seed_alone() -> None:
    alone = qc.load_card("3nm").with_field(MASS, {"value": 0.4, "low": 0.36, "high": 0.42})
    np.testing.assert_array_equal(drawn_numbers(alone, 50)[MASS], drawn_numbers(CARD, 50)[MASS])
    assert (drawn_numbers(CARD, 50, seed=1)[MASS] != drawn_numbers(CARD, 50)[MASS]).all()


def test_the_band_of_one_range_is_the_chain_at_its_quantiles() -> None:
    """p falls with the mass: its 5 % quantile is p at the mass's 95 %, by hand 0.4 (0.42 / 0.4)^0.9."""
    alone = qc.load_card("3nm").with_field(MASS, {"value": 0.4, "low": 0.36, "high": 0.42})
    band = flip_band(alone, [1.7, 1.9], samples=20_000)
    for mass, logs in ((0.4 * (0.42 / 0.4) ** 0.9, band.low), (0.4, band.median),
                       (0.4 * (0.36 / 0.4) ** 0.9, band.high)):
        exact = qc.flip_probability(alone.with_field(MASS, mass), [1.7, 1.9]).log_probability
        np.testing.assert_allclose(logs, exact, rtol=0.03, atol=0.0)


def test_a_range_of_the_thickness_moves_all_thicknesses() -> None:
    card = qc.load_card("3nm").with_field("barrier.thickness_nm", {"value": 1.765, "low": 1.7, "high": 1.83})
    band = flip_band(card, [1.765, 2.0], samples=5000)
    for place, point in enumerate((1.765, 2.0)):
        thick, thin = (qc.flip_probability(card, point * ratio**0.9).log_probability
                       for ratio in (1.83 / 1.765, 1.7 / 1.765))
        np.testing.assert_allclose([band.low[place], band.high[place]], [thick, thin], rtol=0.03, atol=0.0)


def test_the_thickness_band_is_that_of_the_action() -> None:
    """At fixed p the action is fixed, so that d goes as 1 / sqrt(m)."""
    alone = qc.load_card("3nm").with_field(MASS, {"value": 0.4, "low": 0.36, "high": 0.42})
    band, nominal = thickness_band(alone, 0.1, samples=1000), qc.thickness_for("3nm", 0.1)
    drawn = nominal * np.sqrt(0.4 / drawn_numbers(alone, 1000)[MASS])
    np.testing.assert_allclose([band.low, band.median, band.high], np.quantile(drawn, [0.05, 0.5, 0.95]), rtol=1e-9,
                               atol=0.0)
    assert (band.samples, band.failed) == (1000, 0)


def test_corners_and_the_worst_of_all_of_them() -> None:
    rows = {field: rest for field, *rest in corner_table(CARD)}
    for field in (MASS, HEIGHT):
        low, high, at_low, at_high = rows[field]
        exact = [qc.flip_probability(CARD.with_field(field, end)).log_probability for end in (low, high)]
        np.testing.assert_allclose([at_low, at_high], exact, rtol=1e-12, atol=0.0)
    ends = [qc.flip_probability(CARD.with_fields({MASS: mass, HEIGHT: height})).log_probability
            for mass, height in ((0.42, 3.2), (0.36, 3.0))]
    np.testing.assert_allclose(rows["all at once"][2:], ends, rtol=1e-12, atol=0.0)


def test_a_card_without_ranges_is_refused() -> None:
    for asked in (flip_band, corner_table):
        with pytest.raises(InputError, match="states no range"):
            asked("3nm")


def test_the_commands(tmp_path: Path) -> None:
    ranged = ["--device", "3nm", "--set", "barrier.effective_mass_m0={value: 0.4, low: 0.38, high: 0.42}"]
    flip = CliRunner().invoke(app, ["flip", *ranged, "--corners", "--sample", "50"])
    assert flip.exit_code == 0, flip.output
    assert "all at once" in flip.output
    found = CliRunner().invoke(app, ["frontier", *ranged, "--budget", "0.05", "--method", "tac", "--max-trials", "12",
                                     "--half-width", "0.05", "--workers", "1", "--sample", "40",
                                     "--out", str(tmp_path)])
    assert found.exit_code == 0, found.output
    header, row = (line.split(",") for line in (tmp_path / "bands.csv").read_text().splitlines())
    told = dict(zip(header, row, strict=True))
    assert float(told["card_low_nm"]) < float(told["thickness_nm"]) < float(told["card_high_nm"])


@pytest.mark.parametrize("asked", [["3nm", "--corners"], ["3nm", "--sample", "50"], ["hfo2_highk", "--sample", "0"]])
def test_what_cannot_be_drawn_is_refused_before_anything_is_shown(asked: list[str]) -> None:
    result = CliRunner().invoke(app, ["flip", "--device", *asked])
    assert isinstance(result.exception, InputError)
    assert "flip probability" not in result.stdout


def test_whole_numbers_and_layers_have_corners_and_bands() -> None:
    """Whole numbers stay whole where electrons are counted one by one; a layer is reached by its place."""
    falling = {"barrier.model": "trapezoidal", "barrier.bias_V": 0.65, "cell.attempt_frequency_anchor": "forced",
               "escape.field": "self_limiting", "escape.node_capacitance_aF": 12.2}
    counted = qc.load_card("3nm").with_fields({**falling, "cell.flip_threshold": {"value": 4, "low": 3, "high": 6}})
    for end, found in zip((3, 6), corner_table(counted)[0][3:], strict=True):
        assert found == qc.flip_probability(counted.with_field("cell.flip_threshold", end)).log_probability
    layers = [{"height_eV": {"value": 3.1, "low": 3.0, "high": 3.2}, "effective_mass_m0": 0.4,
               "relative_permittivity": 3.9, "thickness_nm": 0.8},
              {"height_eV": 2.05, "effective_mass_m0": 0.11, "relative_permittivity": 22.0}]
    stack = qc.load_card("3nm").with_field("barrier", {"model": "stack", "thickness_nm": 2.3, "layers": layers,
                                                       "electron_energy_eV": 0.05})
    field, low, _, at_low, _ = corner_table(stack)[0]
    assert (field, low) == ("barrier.layers.0.height_eV", 3.0)
    assert at_low == qc.flip_probability(stack.with_field(field, 3.0)).log_probability
    assert flip_band(stack, samples=20).failed == 0


def test_numbers_that_make_no_cell() -> None:
    """Draws of that kind are left out and counted; a corner of that kind, or a range beyond the bounds, is refused."""
    few = qc.load_card("3nm").with_field("cell.electrons", {"value": 50, "low": 2, "high": 60})
    assert 0 < flip_band(few, samples=50).failed < 50
    with pytest.raises(InputError, match="never flip"):
        corner_table(few)
    told = CliRunner().invoke(app, ["flip", "--device", "3nm", "--sample", "50", "--set",
                                    "cell.electrons={value: 50, low: 2, high: 60}"])
    assert f"{flip_band(few, samples=50).failed} that give no answer" in " ".join(told.output.split())
    low = qc.load_card("3nm").with_field("barrier.height_eV", {"value": 3.1, "low": 0.01, "high": 3.2})
    assert 0 < flip_band(low, samples=50).failed < 50
    with pytest.raises(InputError, match="what its number can be"):
        corner_table(qc.load_card("3nm").with_field("window_s", {"value": 1e-6, "low": -1.0, "high": 1.0}))
