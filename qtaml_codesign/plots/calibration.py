"""A measured curve and the fitted one."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from qtaml_codesign.physics.calibration import Calibration
from qtaml_codesign.physics.calibration_models import log_model_of
from qtaml_codesign.physics.measurements import LeakageCurve, RetentionCurve
from qtaml_codesign.plots.style import COLOURS, MARKERS

_POINTS = 200


def draw_calibration(found: Calibration) -> Figure:
    """Data as points, the calibrated card as lines, one for each temperature; the fitted numbers above.

    Args:
        found: of `physics.calibration.calibrate`.
    """
    figure = Figure(figsize=(8.0, 5.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes, data = figure.subplots(), found.data
    leakage = isinstance(data, LeakageCurve)
    across = data.voltage_V if isinstance(data, LeakageCurve) else data.time_s
    kelvins = np.full(len(across), np.nan) if data.temperature_K is None else data.temperature_K
    for place, kelvin in enumerate(np.unique(kelvins)):
        here = (kelvins == kelvin) | (np.isnan(kelvins) & np.isnan(kelvin))
        _series(axes, found, across[here], found.measured[here], float(kelvin), place)
    axes.set_yscale("log")
    axes.set_xscale("linear" if leakage else "log")
    axes.set_xlabel("voltage across the oxide (V)" if leakage else "time since writing (s)")
    axes.set_ylabel("current density (A/cm²)" if leakage else "flip probability")
    axes.grid(alpha=0.3, which="both", linewidth=0.5)
    axes.legend(frameon=False)
    lines = [f"{one.field} = {one.value:.5g} [{one.low:.5g}, {one.high:.5g}]" for one in found.numbers]
    figure.suptitle(f"{found.card.name}: {100 * found.confidence:g} % intervals, {len(across)} points, "
                    f"rms {found.rms:.2g} in ln\n" + "\n".join(lines), fontsize=11)
    return figure


def _series(axes: Axes, found: Calibration, across: np.ndarray, measured: np.ndarray, kelvin: float,
            place: int) -> None:
    temperature = None if np.isnan(kelvin) else np.full(_POINTS, kelvin)
    told, colour = "" if temperature is None else f", {kelvin:g} K", COLOURS[place % len(COLOURS)]
    leakage = isinstance(found.data, LeakageCurve)
    ends = float(across.min()), float(across.max())
    places = np.linspace(*ends, _POINTS) if leakage else np.geomspace(*ends, _POINTS)
    curve = LeakageCurve(places, places, temperature) if leakage else RetentionCurve(places, places, temperature)
    model = log_model_of(curve, found.card)(found.card.resolve())
    axes.plot(places, _shown(model, leakage), color=colour, label=f"calibrated card{told}")
    axes.plot(across, _shown(measured, leakage), MARKERS[place % len(MARKERS)], color=colour, markerfacecolor="white",
              label=f"measured{told}")


def _shown(logs: np.ndarray, leakage: bool) -> np.ndarray:
    """Current densities, or flip probabilities from their log odds."""
    return np.asarray(np.exp(logs) if leakage else 1.0 / (1.0 + np.exp(-logs)))
