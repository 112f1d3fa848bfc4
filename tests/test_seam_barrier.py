"""A barrier from outside the package: one class, and cards, physics, tables and inverses know it.

The shape is a band that falls with a fixed field, so that its action is not proportional to the thickness. The oracle
is the WKB integral by quadrature at 50 digits, with the binomial tail of `physics_oracle`.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, final
from unittest.mock import patch

import numpy as np
import pytest
from mpmath import mp, mpf

import qtaml_codesign as qc
from qtaml_codesign.barriers.barrier import Number
from qtaml_codesign.barriers.registry import BARRIERS
from qtaml_codesign.cards import CellParameters, DeviceCard, load_card
from qtaml_codesign.checks import Quantity
from qtaml_codesign.errors import CardError, InputError
from qtaml_codesign.physics.corners import corners
from qtaml_codesign.physics.inverse import log_slope_per_nm
from qtaml_codesign.physics.prospects import prospects
from qtaml_codesign.physics.tables import flip_table
from tests.physics_oracle import DECAY_PER_NM, binomial_tail

DECAY = float(DECAY_PER_NM)


@final
@dataclass(frozen=True)
class Tilted(qc.Barrier):
    """V(x) = V0 - F x: S = 4/3 k (V0^1.5 - (V0 - F d)^1.5) / F, k = sqrt(2 m) / hbar."""

    height_eV: float
    field_eV_per_nm: float
    effective_mass_m0: float

    numbers: ClassVar[Mapping[str, Quantity]] = {
        "height_eV": Quantity(1e-3, 20.0, "electronvolts"),
        "field_eV_per_nm": Quantity(1e-6, 5.0, "electronvolts per nanometre"),
        "effective_mass_m0": Quantity(1e-3, 10.0, "free electron masses"),
    }

    def __post_init__(self) -> None:
        if self.field_eV_per_nm > self.height_eV:
            raise InputError("the barrier is gone within a nanometre", where="field_eV_per_nm", rule="field < height",
                             value=self.field_eV_per_nm, next_step="lower the field")

    @property
    def _scale(self) -> float:
        return 4.0 / 3.0 * DECAY * math.sqrt(self.effective_mass_m0) / self.field_eV_per_nm

    def action(self, thickness_nm: Number) -> Number:
        return self._scale * (self.height_eV**1.5 - (self.height_eV - self.field_eV_per_nm * thickness_nm) ** 1.5)

    def slope_per_nm(self, thickness_nm: float) -> float:
        return 2.0 * DECAY * math.sqrt(self.effective_mass_m0 * (self.height_eV - self.field_eV_per_nm * thickness_nm))

    def thickness_nm(self, action: float) -> float:
        return (self.height_eV - (self.height_eV**1.5 - action / self._scale) ** (2.0 / 3.0)) / self.field_eV_per_nm


@pytest.fixture(autouse=True)
def tilted() -> Iterator[None]:
    with patch.dict(BARRIERS):
        qc.register_barrier("tilted", Tilted)
        yield


def card(**changes: object) -> DeviceCard:
    tree = load_card("3nm").to_dict()
    numbers = {"height_eV": 3.1, "field_eV_per_nm": 0.4, "effective_mass_m0": 0.4}
    return DeviceCard(**{**tree, "barrier": {"model": "tilted", "thickness_nm": 1.95, **numbers, **changes}})


def exact(cell: CellParameters, thickness_nm: float) -> mpf:
    """ln p_flip by quadrature of the WKB integral."""
    height, field, mass = (mpf(number) for number in pickle.loads(pickle.dumps(cell.barrier)).__dict__.values())
    root = mp.quad(lambda x: mp.sqrt(mass * (height - field * x)), [0, mpf(thickness_nm)])
    log_q = mpf(cell.attempt_frequency_Hz) * mpf(cell.window_s) * mp.log1p(-mp.exp(-2 * DECAY_PER_NM * root))
    return binomial_tail(cell.electrons, cell.flip_threshold, mp.log(-mp.expm1(log_q)), log_q)[0]


def test_the_chain_takes_the_action_of_the_new_shape() -> None:
    """At an array of thicknesses, from p about 1 to 1e-13."""
    thickness = np.linspace(1.75, 2.6, 8)
    flip = qc.flip_probability(card(), thickness)
    for found, place in zip(flip.log_probability, thickness, strict=True):
        assert abs(mp.expm1(mpf(found) - exact(card().resolve(), place))) < 1e-11
    assert flip.log_probability[0] > math.log(0.4)
    assert flip.log_probability[-1] < math.log(1e-12)
    assert prospects(card()) == ()


def test_inverse_and_slope() -> None:
    wanted = [qc.thickness_for(card(), chance) for chance in (0.1, 1e-6)]
    found = qc.flip_probability(card(), wanted).probability
    np.testing.assert_allclose(found, [0.1, 1e-6], rtol=1e-10, atol=0.0)
    slope = mp.diff(lambda place: exact(card().resolve(), place), mpf(1.95), h=mpf(10) ** -12)
    assert log_slope_per_nm(card()) == pytest.approx(float(slope), rel=1e-9)


def test_an_array_of_cells_is_read_from_a_table_at_any_shape() -> None:
    """30,000 cells, 30 of them against quadrature; relative error of p at most 1e-9."""
    thickness = np.random.default_rng(5).normal(2.0, 0.03, 30_000)
    log_p = qc.flip_probability_of_cells(card(), thickness, log=True)
    for place in range(0, thickness.size, 1000):
        assert abs(mp.expm1(mpf(log_p[place]) - exact(card().resolve(), thickness[place]))) <= 1e-9


def test_regions_tables_and_ranges_know_its_numbers() -> None:
    ranged = card(field_eV_per_nm={"value": 0.4, "low": 0.3, "high": 0.5})
    (corner,) = corners(ranged, 0.1)
    ends = [qc.thickness_for(card(field_eV_per_nm=field), 0.1) for field in (0.3, 0.5)]
    assert (corner.field, corner.ends_nm) == ("barrier.field_eV_per_nm", tuple(ends))
    fields = {"tensors": ["*embed*"], "barrier": {"field_eV_per_nm": 0.3}}
    both = DeviceCard(**{**card().to_dict(), "regions": {"a": fields}})
    assert both.resolve("a").barrier == replace(both.resolve().barrier, field_eV_per_nm=0.3)
    varied = flip_table(both, vary={"regions.a.barrier.field_eV_per_nm": np.array([0.3, 0.4])})
    column = varied.columns.index("flip_probability")
    assert varied.region == "a"
    assert [row[column] for row in varied.rows] == [
        qc.flip_probability(card(field_eV_per_nm=field)).probability for field in (0.3, 0.4)]
    assert DeviceCard(**both.to_dict()) == both
    assert pickle.loads(pickle.dumps(both)) == both


REFUSED = {
    "missing": ({"height_eV": None}, "barrier.height_eV", "missing"),
    "of another shape": ({"electron_energy_eV": 0.05}, "barrier.electron_energy_eV", "no number of a tilted barrier"),
    "unknown": ({"feild_eV_per_nm": 0.4}, "barrier.feild_eV_per_nm", "did you mean field_eV_per_nm"),
    "bounds": ({"field_eV_per_nm": 6.0}, "barrier.field_eV_per_nm", "<= field_eV_per_nm <= 5"),
    "text": ({"field_eV_per_nm": "strong"}, "barrier.field_eV_per_nm", "not a number"),
    "contradiction": ({"height_eV": 0.3}, "barrier.field_eV_per_nm", "field < height"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_the_card_checks_its_numbers(case: str) -> None:
    changes, where, text = REFUSED[case]
    tree = card().to_dict()
    tree["barrier"] = {name: value for name, value in {**tree["barrier"], **changes}.items() if value is not None}
    with pytest.raises(CardError) as caught:
        DeviceCard(**tree)
    assert where in caught.value.where
    assert text in str(caught.value)


def test_a_taken_name_or_an_incomplete_shape_is_refused() -> None:
    class Incomplete(Tilted):  # type: ignore[misc]
        numbers: ClassVar[Mapping[str, Quantity]] = {}

    class Abstract(qc.Barrier):
        numbers: ClassVar[Mapping[str, Quantity]] = {}

    qc.register_barrier("tilted", Tilted)
    for name, shape, text in (("rectangular", Tilted, "taken"), ("new", Incomplete, "complete"),
                              ("new", Abstract, "complete")):
        with pytest.raises(InputError, match=text):
            qc.register_barrier(name, shape)
    with pytest.raises(CardError, match="unknown shape"):
        card(model="new")
