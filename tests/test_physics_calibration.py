"""Calibration of a card: what it recovers from synthetic data, how sure it says it is, and what it refuses."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from qtaml_codesign.cards import DeviceCard, card_text, load_card
from qtaml_codesign.errors import InputError
from qtaml_codesign.physics.calibration import Calibration, calibrate
from qtaml_codesign.physics.chain import flip_logs
from qtaml_codesign.physics.flip import flip_probability
from qtaml_codesign.physics.measurements import RetentionCurve, read_measurements

TRUE_HZ, WRONG_HZ = 2.4e13, 9e14
TIMES = np.geomspace(3e-7, 3e-6, 6)
SCATTER = 0.2


def log_odds(card: DeviceCard, times: np.ndarray) -> np.ndarray:
    """ln[p / (1 - p)] of the binomial tail by scipy, from the card's numbers."""
    cell = card.resolve()
    stay = [cell.attempt_frequency_Hz * time * np.log1p(-np.exp(-cell.barrier.action(cell.thickness_nm)))
            for time in times]
    escape = -np.expm1(stay)
    tail, rest = (stats.binom(cell.electrons, escape) for _ in range(2))
    return np.asarray(tail.logsf(cell.flip_threshold) - rest.logcdf(cell.flip_threshold))


def curve(logs: np.ndarray, times: np.ndarray = TIMES) -> RetentionCurve:
    return RetentionCurve(times, 1.0 / (1.0 + np.exp(-logs)))


def started() -> DeviceCard:
    return load_card("3nm").with_field("cell.attempt_frequency_Hz", WRONG_HZ)


def test_exact_data_give_the_true_number_back() -> None:
    """From a start that is wrong by a factor of 37; other fields are found as well."""
    exact = curve(log_odds(load_card("3nm"), TIMES))
    (found,) = calibrate(started(), exact).numbers
    assert found.value == pytest.approx(TRUE_HZ, rel=1e-8)
    for field, true, wrong in (("barrier.effective_mass_m0", 0.4, 0.3), ("barrier.thickness_nm", 1.765, 2.2)):
        (other,) = calibrate(load_card("3nm").with_field(field, wrong), exact, [field]).numbers
        assert (other.before, other.value) == (wrong, pytest.approx(true, rel=1e-8))


def test_intervals_cover_as_often_as_they_say() -> None:
    """400 refits: 90 % intervals must cover in 340 to 380 of them; a level of 0.90 fails so with probability 1e-3.

    Beside that their widths: errors over widths, Student's t with 5 degrees of freedom, at normal quantiles, have
    squares that sum to chi squared, within its 99 %. The seed is fixed. Intervals too wide or narrow by a third would
    cover in 0.97 or 0.79.
    """
    logs, card, freedom = log_odds(load_card("3nm"), TIMES), started(), len(TIMES) - 1
    covered, pivots = 0, []
    for noise in np.random.default_rng(11).normal(0.0, SCATTER, (400, len(TIMES))):
        (found,) = calibrate(card, curve(logs + noise)).numbers
        covered += found.low < TRUE_HZ < found.high
        assert found.high / found.value == pytest.approx(found.value / found.low, rel=1e-9)
        pivots.append(math.log(found.value / TRUE_HZ) / math.log(found.high / found.value))
    assert 340 <= covered <= 380
    student = stats.t(freedom)
    normal = stats.norm.ppf(student.cdf(np.array(pivots) * student.ppf(0.95)))
    low, high = stats.chi2(400).ppf([0.005, 0.995])
    assert low < np.square(normal).sum() < high


@pytest.mark.parametrize("flips", ["symmetric", "charge_loss"])
def test_counted_bits_weigh_their_points(flips: str) -> None:
    """Errors of 20,000 bits drawn, down to 3 of them: ln nu is within a few of the least deviation (Cramer and Rao).

    60 refits scatter by 0.8 to 1.25 times that (chi squared, false failure below 1 %, with a fixed seed); equal
    weights scatter nine times as far.
    """
    card, times, bits = load_card("3nm").with_field("flips", flips), np.geomspace(2e-7, 3e-6, 10), 20_000
    share = 1.0 if flips == "symmetric" else 0.5

    def rates(factor: float) -> np.ndarray:
        windows = [card.with_field("window_s", float(time * factor)) for time in times]
        return share * np.array([float(flip_probability(one).probability) for one in windows])

    rate, step = rates(1.0), 1e-4
    slope = (rates(math.exp(step)) - rates(math.exp(-step))) / (2.0 * step)
    least = 1.0 / math.sqrt(np.sum(bits * slope**2 / (rate * (1.0 - rate))))
    errors, rng = [], np.random.default_rng(5)
    for _ in range(60):
        seen = rng.binomial(bits, rate) / bits
        kept = (seen > 0.0) & (seen < share)
        curve = RetentionCurve(times[kept], seen[kept], bits=np.full(kept.sum(), float(bits)))
        errors.append(math.log(calibrate(card, curve).numbers[0].value / 2.4e13))
    assert 0.8 * least < float(np.sqrt(np.mean(np.square(errors)))) < 1.25 * least


def test_temperatures_fix_an_activation_energy() -> None:
    """BER at three temperatures: rate nu exp(-E_a/k (1/T - 1/T_ref)) by hand, as equivalent times at one of them."""
    boltzmann_eV = 8.617333262e-5
    true = {"cell.attempt_frequency_Hz": TRUE_HZ, "escape.activation_energy_eV": 0.3}
    card = load_card("3nm").with_fields({"temperature_K": 300, "escape": {
        "activation_energy_eV": 0.2, "reference_temperature_K": 300}, "cell.attempt_frequency_Hz": WRONG_HZ})
    kelvins = np.repeat([280.0, 300.0, 330.0], 4)
    rate = np.exp(-0.3 / boltzmann_eV * (1.0 / kelvins - 1.0 / 300.0))
    times = np.tile(np.geomspace(3e-7, 3e-6, 4), 3) / rate
    data = replace(curve(log_odds(load_card("3nm"), times * rate), times), temperature_K=kelvins)
    for found in calibrate(card, data, list(true)).numbers:
        assert found.value == pytest.approx(true[found.field], rel=1e-6)


def test_charge_loss_halves_the_error_rate() -> None:
    logs = log_odds(load_card("3nm"), TIMES)
    halved = RetentionCurve(TIMES, 0.5 / (1.0 + np.exp(-logs)))
    (found,) = calibrate(started().with_field("flips", "charge_loss"), halved).numbers
    assert found.value == pytest.approx(TRUE_HZ, rel=1e-8)


REFUSED = {
    "alike": (["cell.attempt_frequency_Hz", "barrier.thickness_nm"], slice(None), "apart"),
    "mass and height": (["barrier.effective_mass_m0", "barrier.height_eV"], slice(None), "apart"),
    "one point": (["cell.attempt_frequency_Hz"], slice(0, 1), "too few points"),
    "not a field": (["cell.electrons"], slice(None), "cannot be fitted"),
    "twice": (["barrier.height_eV"] * 2, slice(None), "twice"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_data_do_not_fix_is_refused(case: str) -> None:
    fields, points, text = REFUSED[case]
    logs = log_odds(load_card("3nm"), TIMES) + np.random.default_rng(2).normal(0.0, SCATTER, len(TIMES))
    with pytest.raises(InputError, match=text):
        calibrate("3nm", curve(logs[points], TIMES[points]), fields)


def test_a_number_that_hardly_moves_the_curve_is_not_fixed() -> None:
    """Leakage of the access device covers the oxide: the attempt frequency is known to no decade."""
    card = load_card("3nm").with_field("escape.access", {"leakage_pA": 4.0})
    logs = log_odds(load_card("3nm"), TIMES) + np.random.default_rng(2).normal(0.0, SCATTER, len(TIMES))
    with pytest.raises(InputError, match=r"do not fix|no effect"):
        calibrate(card.with_field("barrier.thickness_nm", 2.6), curve(logs))


def test_a_curve_of_another_shape_and_wrong_units_are_doubted() -> None:
    flat = RetentionCurve(TIMES, np.full(len(TIMES), 0.01))
    assert any("another shape" in doubt for doubt in calibrate("3nm", flat).doubts)
    fine = calibrate("3nm", curve(log_odds(load_card("3nm"), TIMES)))
    assert fine.doubts == ()
    nanoseconds = RetentionCurve(TIMES * 1e9, fine.data.bit_error_rate)  # type: ignore[union-attr]
    (doubt,) = calibrate("3nm", nanoseconds).doubts
    assert "units" in doubt


def test_temperatures_that_change_nothing_are_refused() -> None:
    data = replace(curve(log_odds(load_card("3nm"), TIMES)), temperature_K=np.linspace(280.0, 380.0, len(TIMES)))
    with pytest.raises(InputError, match="nothing on the card depends on it"):
        calibrate("3nm", data)


def calibrated(tmp_path: Path) -> tuple[Calibration, Path]:
    logs = log_odds(load_card("3nm"), TIMES) + np.random.default_rng(2).normal(0.0, SCATTER, len(TIMES))
    data = curve(logs)
    file = tmp_path / "retention.csv"
    rows = zip(TIMES.tolist(), data.bit_error_rate.tolist(), strict=True)
    file.write_text("time_s,bit_error_rate\n" + "".join(f"{time!r},{rate!r}\n" for time, rate in rows))
    return calibrate(started(), file), file


def test_the_new_card_says_where_its_number_comes_from(tmp_path: Path) -> None:
    found, file = calibrated(tmp_path)
    origin = found.card.provenance["cell.attempt_frequency_Hz"]
    assert origin.kind == "measured"
    assert str(file) in origin.source
    assert (origin.value, origin.low, origin.high) == found.numbers[0][2:]
    written = tmp_path / "card.yaml"
    written.write_text(card_text(found.card))
    assert load_card(written) == found.card
    again = flip_logs(found.card.resolve(), np.array([found.card.barrier.thickness_nm]))
    assert again.log_flip[0] < 0.0
    assert found.rms == pytest.approx(float(np.sqrt(np.mean((found.measured - found.fitted) ** 2))), rel=1e-12)


FILES = {
    "missing column": ("time_s\n1\n2\n", "column is missing"),
    "unknown column": ("time_s,bit_error_rate,colour\n1,0.1,2\n", "unknown column"),
    "no errors": ("time_s,bit_error_rate\n1,0.1\n2,0\n", "row 3"),
    "text": ("time_s,bit_error_rate\n1,much\n", "row 2"),
    "short row": ("time_s,bit_error_rate\n1\n", "row 2"),
    "empty": ("\n", "no values"),
    "twice": ("time_s,time_s\n1,2\n", "twice"),
    "negative": ("voltage_V,current_density_A_per_cm2\n-1,2\n", "row 2"),
}


def refused(text: str, file: Path) -> InputError:
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        read_measurements(file)
    assert str(file) in caught.value.where
    return caught.value


@pytest.mark.parametrize("case", FILES)
def test_files_that_cannot_be_read_say_why(case: str, tmp_path: Path) -> None:
    text, told = FILES[case]
    assert told in str(refused(text, tmp_path / "curve.csv"))


ADVICE = {
    "other unit": ("time_us,bit_error_rate\n1,0.1\n", "rename time_us to time_s, in seconds"),
    "nothing alike": ("time_s\n1\n2\n", "add bit_error_rate, as a share"),
    "short names": ("time,ber\n1,0.1\n", "rename time to time_s, in seconds; rename ber to bit_error_rate"),
    "volts": ("V_gate,voltage_mV\n1,2\n", "rename V_gate to voltage_V, in volts; add current_density_A_per_cm2"),
    "semicolons": ("time_s;bit_error_rate\n1;0.1\n", "commas instead of semicolons"),
    "percent": ("time_s,bit_error_rate\n1,12\n", "in percent? divide by 100"),
    "too much": ("time_s,bit_error_rate,colour\n1,0.1,2\n", "remove it"),
    "extra in other words": ("time_s,bit_error_rate,temp_C\n1,0.1,20\n",
                             "rename temp_C to temperature_K, in kelvin, or remove it"),
}


@pytest.mark.parametrize("case", ADVICE)
def test_files_that_cannot_be_read_say_what_to_do(case: str, tmp_path: Path) -> None:
    text, step = ADVICE[case]
    error = refused(text, tmp_path / "curve.csv")
    assert step in error.next_step
    if "rename time" in step or "add " in step:
        assert "(retention)" in error.rule
        assert "(leakage)" in error.rule


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_measurements(tmp_path / "none.csv")
