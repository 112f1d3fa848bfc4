"""Numbers of a card fitted to measurements, with their intervals, or a refusal where the data do not fix them.

Least squares in logarithms: what is compared is ln[p / (1 - p)] of the flip probability, or ln J of the leakage
current, and what is fitted is the logarithm of each number. With residuals r (m points), f numbers and the Jacobian
matrix D at the solution,

    covariance = (r.r / (m - f)) (D^T D)^-1,    interval of ln x:  ln x -+ t_(m - f) sqrt(covariance_xx).

Residuals of a retention curve that says how many bits were read are divided by the deviation that counting leaves in
them: a few errors among many bits say little. Else all points weigh the same.

Source: D. M. Bates and D. G. Watts, Nonlinear Regression Analysis and Its Applications (1988), ch. 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from qtaml_codesign.cards import CellParameters, DeviceCard, as_card
from qtaml_codesign.checks import number_within
from qtaml_codesign.errors import InputError, did_you_mean
from qtaml_codesign.physics.calibration_models import log_model_of, measured_logs, weights_of
from qtaml_codesign.physics.cell_fields import THICKNESS, is_whole, value_of, with_number
from qtaml_codesign.physics.measurements import LeakageCurve, RetentionCurve, read_measurements

Array = NDArray[np.float64]
Fitted = Callable[[Array], Array]
FITTED: Final = {RetentionCurve: ("cell.attempt_frequency_Hz",), LeakageCurve: (THICKNESS,)}
"""What is fitted to each kind of curve where nothing is asked for."""
LEAST_INDEPENDENCE: Final = 1e-3
"""Smallest over largest singular value of the Jacobian with columns of length 1: below it the data fix no solution."""
WIDEST: Final = math.log(100.0)
"""Largest half width of an interval of ln x: a number known to less than two decades either way is not fixed."""
DOUBTFUL_RMS: Final = math.log(2.0)
DOUBTFUL_CHANGE: Final = 1e3
_SPAN = {THICKNESS: math.log(1.5), "cell.attempt_frequency_Hz": math.log(1e6)}
_SCAN = 15


class FittedNumber(NamedTuple):
    """A number of the card, before and after; low and high are the ends of its interval."""

    field: str
    before: float
    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Calibration:
    """A card fitted to a measured curve.

    Attributes:
        card: with the fitted numbers, their intervals, `kind: measured` and the file named.
        numbers: what was fitted.
        data: the curve.
        confidence: of the intervals.
        measured, fitted: (n,) what was compared: ln[p / (1 - p)], or ln J with J in A/cm2.
    """

    card: DeviceCard
    numbers: tuple[FittedNumber, ...]
    data: RetentionCurve | LeakageCurve
    confidence: float
    measured: Array
    fitted: Array

    @property
    def rms(self) -> float:
        """Root mean square of the residuals, in natural logarithms."""
        return float(np.sqrt(np.mean((self.measured - self.fitted) ** 2)))

    @property
    def doubts(self) -> tuple[str, ...]:
        """What speaks against the result: a curve of another shape, or a number that went far; empty where nothing."""
        found = []
        if self.rms > DOUBTFUL_RMS:
            found.append(f"the card misses the data by a factor of {math.exp(self.rms):.3g} (rms): the measured curve "
                         "has another shape, and the intervals say nothing about that")
        far = [one for one in self.numbers if abs(math.log(one.value / one.before)) > math.log(DOUBTFUL_CHANGE)]
        return (*found, *(f"{one.field} went from {one.before:.4g} to {one.value:.4g}: check the units of the data"
                          for one in far))


def calibrate(
    card: DeviceCard | str | Path, data: RetentionCurve | LeakageCurve | str | Path,
    fit: Sequence[str] | None = None, *, confidence: float = 0.90,
) -> Calibration:
    """Fit numbers of a card to a retention curve or to a leakage curve.

    Args:
        card: the device card, its name, or its path; where the fit starts.
        data: a curve, or the path of its CSV file (`read_measurements`).
        fit: dotted card fields, among `card.cell_fields`, with a value above zero; None: the attempt frequency for a
            retention curve, the thickness for a leakage curve.
        confidence: of the intervals, two-sided.

    Raises:
        InputError: data that cannot be read or do not identify the numbers, or a field that cannot be fitted.
        CardError: no such card, or a solution that the card's schema refuses.

    Validity: intervals are those of a linear model with normal errors in the logarithm; the scatter about the curve is
    estimated from the data, so that few points give wide intervals.
    Source: see the module.

    Example:
        >>> times = np.geomspace(3e-7, 3e-6, 8)
        >>> curve = RetentionCurve(times, np.array([0.0009, 0.004, 0.015, 0.047, 0.14, 0.33, 0.61, 0.84]))
        >>> found = calibrate("3nm", curve)
        >>> found.numbers[0].low < 2.4e13 < found.numbers[0].high
        True
    """
    start, name = as_card(card), "the curve given" if isinstance(data, RetentionCurve | LeakageCurve) else str(data)
    curve = data if isinstance(data, RetentionCurve | LeakageCurve) else read_measurements(data)
    number_within("confidence", confidence, 0.5, 0.9999, "0.5 <= confidence <= 0.9999", "0.9 is usual")
    fields = _checked_fields(start, FITTED[type(curve)] if fit is None else tuple(fit), curve)
    cell, measured = start.resolve(), measured_logs(curve, start)
    if len(measured) <= len(fields):
        raise _unidentified("too few points for the numbers asked for", f"more than {len(fields)} points",
                            len(measured), "measure more, or fit fewer fields")
    log_model, weights = log_model_of(curve, start), weights_of(curve, start)

    def fitted(logs: Array) -> Array:
        return log_model(_with(cell, dict(zip(fields, np.exp(logs).tolist(), strict=True))))

    before = np.array([value_of(start, field) for field in fields])

    def distance(logs: Array) -> Array:
        return weights * (fitted(logs) - measured)

    found = optimize.least_squares(distance, _start(fitted, measured, fields, before), jac="3-point", x_scale="jac",
                                   xtol=1e-13, ftol=1e-13, gtol=1e-13)
    half = _half_widths(np.asarray(found.jac), found.fun, fields, confidence)
    ends = np.exp(np.stack([found.x, found.x - half, found.x + half]))
    numbers = tuple(FittedNumber(*one) for one in zip(fields, before.tolist(), *ends.tolist(), strict=True))
    return Calibration(_calibrated(start, numbers, name, len(measured), confidence), numbers, curve, confidence,
                       measured, measured + found.fun / weights)


def _with(cell: CellParameters, values: Mapping[str, float]) -> CellParameters:
    for field, value in values.items():
        cell = with_number(cell, field, value)
    return cell


def _checked_fields(
    card: DeviceCard, fields: tuple[str, ...], curve: RetentionCurve | LeakageCurve
) -> tuple[str, ...]:
    """The fields, if each can be fitted."""
    known = [field for field in card.cell_fields if field not in ("window_s", "temperature_K") and not is_whole(field)]
    if isinstance(curve, LeakageCurve):
        known = [field for field in known if field.startswith("barrier.")]
    if not fields or len(set(fields)) < len(fields):
        raise _unfit("no field to fit, or one twice", ", ".join(fields), "for instance --fit barrier.thickness_nm")
    for field in fields:
        if field not in known:
            raise _unfit("this field cannot be fitted to this curve", field, f"{did_you_mean(field, known)}")
        if not value_of(card, field) > 0.0:
            raise _unfit("a number that is fitted in its logarithm must start above zero", field,
                         f"--set {field}=VALUE")
    return fields


def _start(fitted: Fitted, measured: Array, fields: Sequence[str], before: Array) -> Array:
    """Where the fit starts: the card's numbers, the first one moved to the best place of a wide scan."""
    start, span = np.log(before), _SPAN.get(fields[0], math.log(3.0))
    tried = start[0] + np.linspace(-span, span, _SCAN)
    costs = [float(np.sum((fitted(np.array([place, *start[1:]])) - measured) ** 2)) for place in tried]
    return np.array([tried[int(np.nanargmin(costs))], *start[1:]])


def _half_widths(jacobian: Array, residuals: Array, fields: Sequence[str], confidence: float) -> Array:
    """Half widths of the intervals of ln x, or a refusal where they do not exist."""
    norms = np.linalg.norm(jacobian, axis=0)
    for field, norm in zip(fields, norms, strict=True):
        if not norm > 1e-9:
            raise _unidentified(f"{field} has no effect on this curve", "a field that moves the curve", field,
                                "drop it, or measure where it acts")
    values = np.linalg.svd(jacobian / norms, compute_uv=False)
    if values[-1] < LEAST_INDEPENDENCE * values[0]:
        raise _unidentified(f"the data do not tell {' and '.join(fields)} apart: they move the curve alike",
                            f"independent fields (singular values within {1.0 / LEAST_INDEPENDENCE:g})",
                            f"ratio {values[-1] / values[0]:.2g}",
                            "fit one of them, and hold the others at known values")
    freedom = len(residuals) - len(fields)
    covariance = np.linalg.inv(jacobian.T @ jacobian) * (residuals @ residuals / freedom)
    half = np.asarray(stats.t.ppf(0.5 + confidence / 2.0, freedom) * np.sqrt(np.diag(covariance)))
    for field, width in zip(fields, half.tolist(), strict=True):
        if not width <= WIDEST:
            raise _unidentified(f"the data do not fix {field}", f"an interval of at most {WIDEST / math.log(10.0):.2g} "
                                "decades either way", f"{width / math.log(10.0):.3g} decades",
                                "measure more points, or where this field moves the curve")
    return half


def _calibrated(
    card: DeviceCard, numbers: Sequence[FittedNumber], source: str, points: int, confidence: float
) -> DeviceCard:
    told = f"fitted to {points} points of {source}; low and high are its {100 * confidence:g} % interval"
    values: dict[str, object] = {
        one.field: {"value": one.value, "low": one.low, "high": one.high, "kind": "measured", "source": told}
        for one in numbers
    }
    if "cell.attempt_frequency_Hz" in values:
        values["cell.attempt_frequency_anchor"] = "this_barrier"
    return card.with_fields({**values, "name": f"{card.name} calibrated"[:100]})


def _unfit(what: str, value: object, next_step: str) -> InputError:
    return InputError(what, where="fit (--fit)", rule="card fields above zero that set the curve, each once",
                      value=value, next_step=next_step)


def _unidentified(what: str, rule: str, value: object, next_step: str) -> InputError:
    return InputError(what, where="data (--data)", rule=rule, value=value, next_step=next_step)
