"""What a cell says of a measured curve, in logarithms: its flip probability over time, or its leakage over voltage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.cards import CellParameters, DeviceCard
from qtaml_codesign.errors import InputError
from qtaml_codesign.physics.chain import flip_logs
from qtaml_codesign.physics.measurements import LeakageCurve, RetentionCurve
from qtaml_codesign.physics.tsu_esaki import current_density_A_per_cm2

Array = NDArray[np.float64]
LogModel = Callable[[CellParameters], Array]


def measured_logs(curve: RetentionCurve | LeakageCurve, card: DeviceCard) -> Array:
    """What is compared: ln[p / (1 - p)] of the flip probability, or ln J with J in A/cm2.

    Where only charged cells flip, half of the stored bits can, and p is twice the bit error rate.

    Args:
        curve: as measured.
        card: whose direction of flips counts.

    Raises:
        InputError: error rates of one half or more where only half of the bits can flip.
    """
    if isinstance(curve, LeakageCurve):
        return np.log(curve.current_density_A_per_cm2)
    chance = curve.bit_error_rate if card.flips == "symmetric" else 2.0 * curve.bit_error_rate
    if not (chance < 1.0).all():
        raise InputError("more bits are wrong than can flip", where="data (--data), bit_error_rate",
                         rule="below 0.5 where only charged cells flip (flips: charge_loss)",
                         value=float(curve.bit_error_rate.max()), next_step="leave such points out, or check the card")
    return np.log(chance) - np.log1p(-chance)


def weights_of(curve: RetentionCurve | LeakageCurve, card: DeviceCard) -> Array:
    """What each residual is multiplied by: 1, or where the bits read are known 1 / the standard deviation by counting.

    For n bits with the error rate b, p = f b (f = 1 or 2): the deviation of ln[p / (1 - p)] is
    f sqrt(b (1 - b) / n) / (p (1 - p)).

    Args:
        curve: as measured.
        card: whose direction of flips counts.
    """
    if isinstance(curve, LeakageCurve):
        return np.ones(len(curve.voltage_V))
    if curve.bits is None:
        return np.ones(len(curve.time_s))
    rate, factor = curve.bit_error_rate, 1.0 if card.flips == "symmetric" else 2.0
    chance = factor * rate
    return np.asarray(chance * (1.0 - chance) / (factor * np.sqrt(rate * (1.0 - rate) / curve.bits)))


def log_model_of(curve: RetentionCurve | LeakageCurve, card: DeviceCard) -> LogModel:
    """The same for a cell of the card, as a function of the cell.

    Args:
        curve: its times and temperatures, or voltages.
        card: of the cell.

    Raises:
        InputError: several temperatures, of which the card's physics knows nothing.
    """
    if isinstance(curve, LeakageCurve):
        return lambda cell: np.log([
            current_density_A_per_cm2(cell.barrier, cell.thickness_nm, volt, temperature_K=kelvin)
            for volt, kelvin in zip(curve.voltage_V.tolist(), _temperatures(curve, card), strict=True)])
    temperatures = _temperatures(curve, card)
    if len(set(temperatures)) > 1:
        _check_dependence(card, min(temperatures), max(temperatures), float(np.median(curve.time_s)))
    known = curve.temperature_K is not None or card.temperature_K is not None
    points = list(zip(curve.time_s.tolist(), temperatures, strict=True))

    def logs(cell: CellParameters) -> Array:
        found = [_logit(replace(cell, window_s=time, temperature_K=kelvin if known else None))
                 for time, kelvin in points]
        return np.array(found)

    return logs


def _logit(cell: CellParameters) -> float:
    logs = flip_logs(cell, np.array([cell.thickness_nm]))
    return float(logs.log_flip[0] - logs.log_no_flip[0])


def _temperatures(curve: RetentionCurve | LeakageCurve, card: DeviceCard) -> list[float]:
    """Of each point: the curve's, or the card's, or 300 K."""
    if curve.temperature_K is not None:
        return [float(kelvin) for kelvin in curve.temperature_K]
    count = len(curve.voltage_V if isinstance(curve, LeakageCurve) else curve.time_s)
    return [card.temperature_K or 300.0] * count


def _check_dependence(card: DeviceCard, coldest: float, hottest: float, time_s: float) -> None:
    cell = replace(card.resolve(), window_s=time_s)
    if _logit(replace(cell, temperature_K=coldest)) == _logit(replace(cell, temperature_K=hottest)):
        raise InputError("the data hold several temperatures, but nothing on the card depends on it",
                         where="data (--data), temperature_K", rule="a card whose escape knows the temperature",
                         value=f"{coldest:g} to {hottest:g} K",
                         next_step="add escape.activation_energy_eV with reference_temperature_K, or thermal_averaging")
