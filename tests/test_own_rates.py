"""Cells that keep an oxide of their own: their table, what is drawn from it, and the way through the program."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

import qtaml_codesign as qc
from qtaml_codesign.bits import variation as bits_variation
from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw
from qtaml_codesign.bits.flips import draw_flips, flip_key
from qtaml_codesign.bits.transition import law_of_words
from qtaml_codesign.cards import DeviceCard, list_cards, load_card
from qtaml_codesign.errors import InputError
from qtaml_codesign.physics import own_rates
from qtaml_codesign.physics.chain import log_flip
from qtaml_codesign.physics.own_rates import OwnRates
from qtaml_codesign.sweeps.coordinates import OctaveCoordinate, ThicknessCoordinate, coordinate_for

from .bits_oracles import assert_binomial, slow_is_below, slow_philox
from .in_memory import stored
from .test_codecs_coded import REPETITION

CARD = load_card("3nm")
SWEPT = [name for name in list_cards() if load_card(name).sweep]
KEY = flip_key(3, "fc.weight")
CODES = np.random.default_rng(0).integers(0, 256, 4096).astype(np.uint8)
ACCURACY = 2e-7


def varied(card: DeviceCard = CARD, sigma_nm: float = 0.03, cells: str = "own_rate") -> DeviceCard:
    return card.with_field("variation", {"thickness_sigma_nm": sigma_nm, "cells": cells})


def law_at(thickness_nm: float, card: DeviceCard | None = None) -> CellLaw:
    return BitErrorProfile.from_flip_probability(qc.flip_probability(card or varied(), thickness_nm)).regions[0]


def deviations(count: int, first: int = 0) -> np.ndarray:
    """(count, 8) z of the cells under KEY, number by number in plain Python."""
    import hashlib

    digest = hashlib.blake2b(f"cell rates {KEY.words[0]} {KEY.words[1]}".encode(), digest_size=16).digest()
    key, fold = (int(word) for word in np.frombuffer(digest, dtype="<u8"))
    found = np.empty((count, 8))
    for index in range(first, first + count):
        for plane in range(8):
            counter = (index % 2**32, index >> 32 | plane << 16, fold % 2**32, fold >> 32)
            words = slow_philox(counter, (key % 2**32, key >> 32))
            found[index - first, plane] = special.ndtri((((words[0] | words[1] << 32) >> 12) + 0.5) / 2**52)
    return found


@pytest.mark.parametrize("name", SWEPT)
@pytest.mark.parametrize("sigma_nm", [0.005, 0.03, 0.1])
def test_the_table_and_its_mean(name: str, sigma_nm: float) -> None:
    """r(z) against the chain at d + sigma z, and its mean over cells against that of `cells: mean`: 2e-7 relative.

    Below p = 1e-15 the mean is made by cells that no chip has: their z lies beyond the last of 2^52 numbers.
    """
    card, z = varied(load_card(name), sigma_nm), np.linspace(-8.2, 8.2, 4001)
    weights = stats.norm.pdf(z) / stats.norm.pdf(z).sum()
    for thickness_nm in np.linspace(*card.sweep.thickness_nm, 3):
        law = law_at(thickness_nm, card)
        rates, cell = law.own_rates[0].rates(z), replace(card.resolve(), variation=None)
        truth = np.exp(log_flip(cell, np.maximum(thickness_nm + sigma_nm * z, 0.001)))
        seen = truth > 1e-12
        np.testing.assert_allclose(rates[seen], truth[seen], rtol=ACCURACY, atol=0.0)
        assert (rates[~seen] <= 1.001e-12).all()
        assert (np.diff(rates) <= 0.0).all()
        same = qc.flip_probability(varied(load_card(name), sigma_nm, "mean"), thickness_nm).probability
        assert law.one_to_zero.tolist() == pytest.approx([same] * 8, rel=1e-15, abs=0.0)
        if same > 1e-15:
            assert float(weights @ rates) == pytest.approx(same, rel=ACCURACY, abs=0.0)
        assert len(law.own_rates[0].logs) < 1000


def test_tables_end_where_rates_are_zero_or_one() -> None:
    table = law_at(2.0, varied(sigma_nm=0.2)).own_rates[0]
    assert table.rates(np.array([-8.3, 8.3, -40.0, 40.0])).tolist()[::2] == [1.0, 1.0]
    assert table.rates(np.array([40.0]))[0] == table.rates(np.array([9.0]))[0] < 1e-15
    assert law_at(1.765, varied(sigma_nm=0.0)).own_rates[0].rates(np.array([-3.0, 3.0])) == pytest.approx(
        float(qc.flip_probability(CARD).probability), rel=ACCURACY, abs=0.0)


def test_flips_are_those_of_a_slow_twin() -> None:
    """u digit by digit, z number by number, the rate by the chain itself at d + sigma z: no table."""
    law, cell = law_at(1.765), replace(varied().resolve(), variation=None)
    rates = np.exp(log_flip(cell, 1.765 + 0.03 * deviations(150, 1003)))
    read = draw_flips(CODES[:150], law, 2, KEY, 7, first_index=1003).codes
    for i, code in enumerate(CODES[:150].tolist()):
        flips = sum(slow_is_below(float(rates[i, plane]), 3, "fc.weight", 7, 1003 + i, plane) << plane
                    for plane in range(6))
        assert read[i] == code ^ flips


def test_every_cell_keeps_its_rate() -> None:
    """Flips of 512 cells over 400 readings, summed in 16 classes of their own r(z), against the exact law of each sum.

    The sum of a class has a variance below 400 sum r; Bernstein's bound is set at 1e-10 for each of 16 classes, so the
    test fails falsely once in 6e8 runs. Over all cells at one rate the classes would be 20 and more bounds away.
    """
    law, trials, count = law_at(1.765), 400, 64
    rates = law.own_rates[0].rates(deviations(count)).ravel()
    reads = [draw_flips(np.zeros(count, np.uint8), law, 0, KEY, trial).codes for trial in range(trials)]
    often = np.sum([np.unpackbits(read[:, None], axis=1, bitorder="little") for read in reads], axis=0).ravel()
    far = 0
    for its in np.array_split(np.argsort(rates), 16):
        mean, variance = trials * rates[its].sum(), trials * (rates[its] * (1.0 - rates[its])).sum()
        log_chance = math.log(2.0 / 1e-10)
        bound = log_chance / 3.0 + math.sqrt(log_chance**2 / 9.0 + 2.0 * variance * log_chance)
        assert abs(often[its].sum() - mean) <= bound
        far += abs(trials * its.size * law.one_to_zero[0] - mean) > 2.0 * bound
    assert far >= 12


def test_over_chips_a_reading_has_the_mean_rate() -> None:
    """Exact binomial test over 40 chips of 4096 weights; cells of different chips are independent."""
    law = law_at(1.765)
    flipped = sum(draw_flips(np.zeros(4096, np.uint8), law, 0, flip_key(seed, "w"), 0).flipped for seed in range(40))
    assert_binomial(flipped, 40 * 4096 * 8, float(law.one_to_zero[0]), "cells over chips")


@pytest.mark.parametrize("name", ["3nm", "edram_gain_cell"])
def test_flips_nest_over_thickness(name: str) -> None:
    """Down to steps of 1e-6 nm: one oxide has one rate to the last bit, whatever the mean thickness is."""
    card = varied(load_card(name))
    start = qc.thickness_for(card, 0.2)
    steps = start + np.cumsum([0.0, 1e-6, 1e-3, 3.7e-3, 0.011])
    flips = [draw_flips(CODES, law_at(nm, card), 0, KEY, 5).codes ^ CODES for nm in steps]
    for more, fewer in pairwise(flips):
        assert not (fewer & ~more).any()
    assert np.bitwise_count(flips[0]).sum() > np.bitwise_count(flips[-1]).sum() > 0


def test_an_oxide_has_one_rate_in_every_table() -> None:
    """Tables of two mean thicknesses, at places that both reach: the same float64 numbers."""
    one, other = law_at(1.75).own_rates[0], law_at(1.8125).own_rates[0]
    assert one.step_nm == other.step_nm
    moved = replace(other, thickness_nm=1.75)  # the same places from the other knots
    z = np.linspace(-4.0, 6.0, 5001)
    np.testing.assert_array_equal(one.rates(z), moved.rates(z))


def test_planes_directions_and_depth() -> None:
    """Planes with an oxide of their own have a table each; charge loss flips one direction; protected planes none."""
    card = varied().with_fields({"flips": "charge_loss", "bit_planes.6.barrier.thickness_nm": 1.70})
    law = law_at(1.8, card)
    assert [table.thickness_nm for table in law.own_rates] == [1.8] * 6 + [1.7, 1.8]
    read = draw_flips(CODES, law, 1, KEY, 0)
    assert not (read.codes & ~CODES).any()
    assert read.flips_by_plane[7] == 0
    ones = int((CODES >> 6 & 1).sum())
    assert_binomial(int(read.flips_by_plane[6]), ones, float(law.one_to_zero[6]), "own oxide")
    assert law.one_to_zero[6] > 4 * law.one_to_zero[5]
    with pytest.raises(InputError, match="planes of this memory differ"):
        law_of_words(law, 4)


def test_blocks_share_their_flips_and_pieces_are_read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    law = replace(law_at(1.765), block=16)
    whole = draw_flips(CODES, law, 0, KEY, 1).codes
    monkeypatch.setattr(bits_variation, "PIECE", 100)
    np.testing.assert_array_equal(whole, draw_flips(CODES, law, 0, KEY, 1).codes)
    flips = (whole ^ CODES).reshape(-1, 16)
    several = np.bitwise_count(flips).sum(axis=1)
    assert several.var() > 2.0 * several.mean()  # neighbours flip together, and yet not all of them
    assert (flips != flips[:, :1]).any()


def test_json_identity_and_words_of_another_length() -> None:
    law = law_at(1.765)
    again = CellLaw.from_json(json.loads(json.dumps(law.to_json())))
    assert again == law
    assert hash(again) == hash(law)
    assert again.own_rates[0] == law.own_rates[0]
    assert law != law_at(1.766)
    assert not law.alike
    short = law_of_words(law, 3)
    assert short.own_rates == law.own_rates
    assert draw_flips(CODES % 8, short, 0, KEY, 0).codes.max() < 8
    assert "own_rates" not in law_at(1.765, varied(cells="mean")).to_json()
    assert len(json.dumps(law.to_json())) < 6000


@pytest.mark.parametrize(("change", "where"), [
    ({"one_to_zero": np.full(8, 0.2)}, "own_rates"), ({"spread": 0.3}, "own_rates, spread"),
    ({"own_rates": law_at(1.765).own_rates * 3}, "own_rates"),
])
def test_what_does_not_fit_is_refused(change: dict[str, Any], where: str) -> None:
    with pytest.raises(InputError) as caught:
        replace(law_at(1.765), **change)
    assert caught.value.where == where


def test_noise_models() -> None:
    """Blocks go with own rates, a spread takes their place, and other rates are refused."""
    given = {"w": law_at(1.765)}
    assert qc.NoiseModel("n", "", block=4).apply_to(given, {"w": 10})["w"].own_rates == given["w"].own_rates
    assert qc.NoiseModel("n", "", cell_spread=0.3).apply_to(given, {"w": 10})["w"].own_rates == ()
    with pytest.raises(InputError, match="own rates cannot be given others"):
        qc.noise_model("msb-heavier").apply_to(given, {"w": 10})


def test_read_back_and_the_reader() -> None:
    """`read_back` and the memory draw what `draw_flips` draws; a group of such cells is not packed."""
    flip, law = qc.flip_probability(varied()), law_at(1.765)
    read = qc.read_back(CODES, flip, seed=4, tensor="w")
    np.testing.assert_array_equal(read, draw_flips(CODES, law, 0, flip_key(4, "w"), 0).codes)
    group = stored(np.linspace(-1.0, 1.0, 100), law, depth=1)
    assert not group.regular
    assert group.expected_flips == pytest.approx(700 * law.one_to_zero[0], rel=1e-12)


def test_one_point_of_a_curve_is_that_point() -> None:
    curve = qc.flip_probability(varied(), [1.75, 1.8])
    assert BitErrorProfile.from_flip_probability(curve.at(1)).regions[0] == law_at(1.8)
    with pytest.raises(InputError, match="several thicknesses"):
        BitErrorProfile.from_flip_probability(curve)


def test_knots_of_such_cards_lie_on_their_own_path() -> None:
    own, mean = (coordinate_for(varied(cells=cells)) for cells in ("own_rate", "mean"))
    assert isinstance(own, ThicknessCoordinate)
    assert isinstance(mean, OctaveCoordinate)
    place = own.place(float(own.at(np.array([1.8]))[0]))
    assert place.profile.regions[0] == law_at(place.thickness_nm)
    assert mean.place(-3.0).profile == coordinate_for(CARD).place(-3.0).profile


@pytest.fixture(scope="module")
def small() -> qc.Workload:
    return qc.load_workload("small-cnn")


def test_plans_see_the_mean_and_results_say_one_chip(small: qc.Workload) -> None:
    own, mean = (qc.flip_probability(varied(cells=cells), 1.765) for cells in ("own_rate", "mean"))
    plans = [qc.plan(small, "tac", flips, 0.05) for flips in (own, mean)]
    assert plans[0].depths == plans[1].depths
    results = [qc.evaluate(small, plans[0], flips, trials=2) for flips in (own, mean)]
    assert results[0].nominal_ber == results[1].nominal_ber
    assert results[0].realised_ber == pytest.approx(results[0].nominal_ber, rel=0.02)
    assert results[0].score_by_trial != results[1].score_by_trial
    assert bits_variation.ONE_CHIP in results[0].notes
    assert bits_variation.ONE_CHIP not in results[1].notes


def test_a_sweep_in_both_ways(small: qc.Workload, tmp_path: Path) -> None:
    """One store holds both: tasks of cells with own rates are other tasks, and go on where they stopped."""
    asked = {"thickness_nm": [1.85], "budgets": (0.05,), "methods": ("uniform-msp",), "interpolate": False}
    mean = qc.sweep(small, varied(cells="mean"), trials=2, out=tmp_path / "mean", **asked)
    own = qc.sweep(small, varied(), trials=2, out=tmp_path / "own", reuse=[tmp_path / "mean"], **asked)
    assert (own.new_trials, own.borrowed_trials) == (2, 0)
    more = qc.sweep(small, varied(), trials=3, out=tmp_path / "own", **asked)
    assert more.new_trials == 1
    assert bits_variation.ONE_CHIP in own.warnings
    assert bits_variation.ONE_CHIP not in mean.warnings
    rows = [found.to_frame().iloc[0] for found in (mean, own)]
    assert rows[0].flip_probability == rows[1].flip_probability
    assert rows[0].realised_ber != rows[1].realised_ber


def test_codes_that_were_measured_for_cells_alike_are_refused() -> None:
    with pytest.raises(InputError, match="not measured") as caught:
        REPETITION.cell_law(law_at(1.765))
    assert "own rates" in str(caught.value)


def test_a_table_by_hand() -> None:
    """ln p linear in thickness stays linear between knots: the slopes are exact there."""
    logs = tuple(-1.0 - 0.5 * knot for knot in range(12))
    table = OwnRates(0.1, 1.0, 0.1, 0.125, 4, logs)
    z = np.array([-1.0, 0.0, 1.3, 2.0])
    expected = np.exp(-1.0 - 0.5 * ((1.0 + 0.1 * z) / 0.125 - 4.0))
    np.testing.assert_allclose(table.rates(z), expected, rtol=1e-14, atol=0.0)
    assert -special.ndtri(2.0**-53) < own_rates.FARTHEST
