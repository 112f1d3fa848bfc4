"""Leakage currents: published figures of the model, an integral of another kind, and cards fitted to a J-V curve."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import constants, integrate
from typer.testing import CliRunner

from qtaml_codesign.barriers.exact import Exact
from qtaml_codesign.barriers.rectangular import Rectangular
from qtaml_codesign.cards import load_card
from qtaml_codesign.commands.main import app
from qtaml_codesign.errors import InputError
from qtaml_codesign.physics.calibration import calibrate
from qtaml_codesign.physics.measurements import LeakageCurve
from qtaml_codesign.physics.tsu_esaki import current_density_A_per_cm2

SIO2 = Rectangular(height_eV=3.10, electron_energy_eV=0.05, effective_mass_m0=0.40)
VOLTS = np.linspace(0.4, 1.4, 8)


def by_quadrature(thickness_nm: float, bias_V: float, kelvin: float) -> float:
    """The integral with scipy's own constants, adaptive quadrature and the trapezoid's closed form, from scratch."""
    k, q, h, m = constants.k, constants.e, constants.hbar, constants.m_e
    kappa = math.sqrt(2.0 * 0.40 * m * q) / h * 1e-9

    def integrand(energy: float) -> float:
        low = max(3.1 - energy - bias_V, 0.0)
        action = 4.0 / 3.0 * kappa * thickness_nm / bias_V * (max(3.1 - energy, 0.0) ** 1.5 - low**1.5)
        above = (0.15 - energy) * q / (k * kelvin)
        supply = np.logaddexp(0.0, above) - np.logaddexp(0.0, above - bias_V * q / (k * kelvin))
        return math.exp(-action) * supply

    value, _ = integrate.quad(integrand, 0.0, 1.6, points=[0.15], epsabs=0.0, epsrel=1e-11, limit=400)
    return q * 2.05 * m * k * kelvin / (2.0 * math.pi**2 * h**3) * value * q * 1e-4


def test_currents_and_slope_of_thin_sio2() -> None:
    """At 1 V and 300 K with E_F - E_c = 0.15 eV: 13,650 to 1.57e-5 A/cm2 from 1 to 3 nm, 4.47 decades per nm."""
    found = [current_density_A_per_cm2(SIO2, d, 1.0) for d in (1.0, 1.5, 2.0, 2.5, 3.0)]
    np.testing.assert_allclose(found, [13650.0, 79.1, 0.460, 2.68e-3, 1.57e-5], rtol=4e-3, atol=0.0)
    assert math.log10(found[1] / found[3]) == pytest.approx(4.47, rel=1e-3)
    exact = [current_density_A_per_cm2(Exact(SIO2, 0.916), d, 1.0) for d in (1.5, 2.5)]
    assert math.log10(exact[0] / exact[1]) == pytest.approx(4.46, rel=4e-3)


@pytest.mark.parametrize(("thickness_nm", "bias_V", "kelvin"),
                         [(1.5, 1.0, 300.0), (2.5, 0.3, 400.0), (4.0, 3.6, 250.0)])
def test_the_integral_against_adaptive_quadrature(thickness_nm: float, bias_V: float, kelvin: float) -> None:
    found = current_density_A_per_cm2(SIO2, thickness_nm, bias_V, temperature_K=kelvin)
    assert found == pytest.approx(by_quadrature(thickness_nm, bias_V, kelvin), rel=1e-5)


def leakage(noise: float = 0.0) -> LeakageCurve:
    logs = np.log([by_quadrature(1.765, volt, 300.0) for volt in VOLTS])
    return LeakageCurve(VOLTS, np.exp(logs + np.random.default_rng(4).normal(0.0, noise, len(VOLTS))))


def test_a_leakage_curve_gives_the_thickness_back() -> None:
    start = load_card("3nm").with_field("barrier.thickness_nm", 2.2)
    (exact,) = calibrate(start, leakage()).numbers
    assert exact.value == pytest.approx(1.765, rel=1e-5)
    (noisy,) = calibrate(start, leakage(0.1)).numbers
    assert noisy.low < 1.765 < noisy.high
    assert 0.001 < noisy.high - noisy.low < 0.1


def test_thickness_and_height_are_told_apart_by_the_bias_but_not_thickness_and_mass() -> None:
    """S = d sqrt(m) f(V0, V): how the current bends over V fixes V0; d and m act as one number."""
    start = load_card("3nm").with_fields({"barrier.thickness_nm": 1.9, "barrier.height_eV": 3.3})
    found = calibrate(start, leakage(), ["barrier.thickness_nm", "barrier.height_eV"]).numbers
    np.testing.assert_allclose([one.value for one in found], [1.765, 3.10], rtol=1e-3, atol=0.0)
    with pytest.raises(InputError, match="apart"):
        calibrate(start, leakage(0.01), ["barrier.thickness_nm", "barrier.effective_mass_m0"])


def test_the_command_writes_card_and_figure(tmp_path: Path) -> None:
    data, card = tmp_path / "jv.csv", tmp_path / "mine.yaml"
    curve = leakage(0.05)
    rows = zip(curve.voltage_V.tolist(), curve.current_density_A_per_cm2.tolist(), strict=True)
    lines = ["voltage_V,current_density_A_per_cm2", *(f"{volt!r},{current!r}" for volt, current in rows)]
    data.write_text("\n".join(lines) + "\n")
    asked = ["calibrate", "--card", "3nm", "--data", str(data), "--out", str(card), "--plot", str(tmp_path / "fit.svg")]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    assert load_card(card).provenance["barrier.thickness_nm"].kind == "measured"
    assert "calibrated card" in (tmp_path / "fit.svg").read_text()
