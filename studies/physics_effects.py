"""What changes the flip probability by how much: every effect that a card can switch on, on the 3 nm card.

The factor on p_flip where flips are common (A, 1.765 nm: p_flip = 0.10) and rare (B, 2.12 nm: 1.3e-9), and how much
thicker the oxide must be made for the flip probability to be 0.10, or 1e-6, again. The attempt frequency is left as
it is, so that the effect is seen and not its calibration.

A bias without the interface prefactor, or the prefactor without a bias, is no correction: each undoes most of the
other. The two alone are shown apart, as a warning.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lab.claims import Claim, holds
from lab.effects import EFFECTS, A_nm, B_nm
from lab.figures import COLOURS, new_figure
from lab.study import Scale, Study

SMOKE = ("attempts", "bias", "prefactor", "both", "traps-0.1", "charge-noise", "access", "variation-0.03")
TARGETS = (0.10, 1e-6)
CHANGED = math.log(2.0)
FACTORS = {
    "mass-up": ("0.18", "0.053"), "height-up": ("0.33", ""), "height-down": ("2.5", "7.1"), "attempts": ("5.4", "31"),
    "prefactor": ("1.0e-4", "1.9e-5"), "bias": ("8.6", "690"), "both": ("2.06", ""), "two-band": ("0.77", "0.61"),
    "image-optical": ("10", "8e8"), "image-static": ("10", "8e6"), "thermal": ("1.31", "1.71"),
    "roughness-0.1": ("4.9", "24"), "roughness-0.2": ("", "2e5"), "traps-resonant": ("1.26", "1e7"),
    "traps-0.1": ("1.10", "6e4"), "traps-0.3": ("1.00", "1.01"), "charge-noise": ("1.57", "6e5"),
    "access": ("1.9", ""), "charge-loss": ("0.5", "0.5"),
    "variation-0.03": ("1.426", "4.09"), "variation-0.05": ("1.980", "46.3"), "variation-0.10": ("3.06", "8.1e4"),
}
"""Factors at A and B worked out by other means: quadrature and matrix exponentials at 30 digits."""
SHIFTS_pm = {"both": 23.0, "bias": 103.0, "prefactor": -193.0}
ENDS_pm, ENDS = 1500.0, (1e-6, 1e10)


def cases(scale: Scale) -> list[dict[str, Any]]:
    """One case per effect."""
    return [{"effect": name} for name in (SMOKE if scale.smoke else EFFECTS)]


def measure(case: dict[str, Any], networks: Path) -> list[dict[str, Any]]:
    """ln of the factors, and the shifts in pm."""
    effect = EFFECTS[case["effect"]]
    log_A, log_B = effect.log_factors(np.array([A_nm, B_nm])).tolist()
    common, rare = (effect.shift_pm(target) for target in TARGETS)
    return [{"label": effect.label, "kind": effect.kind, "log_factor_A": log_A, "log_factor_B": log_B,
             "shift_common_pm": common, "shift_rare_pm": rare}]


def ranked(rows: pd.DataFrame) -> pd.DataFrame:
    """The effects by their shift at p = 0.10, those that must not stand alone last."""
    order = rows.assign(alone=rows["kind"] == "alone", size=-rows["shift_common_pm"].abs())
    return order.sort_values(["alone", "size"], kind="stable")


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """All effects in order."""
    return pd.DataFrame([{
        "effect": f"{row['label']}: **not without the other**" if row["alone"] else row["label"],
        "p_flip at 1.765 nm": factor_text(row["log_factor_A"]), "p_flip at 2.12 nm": factor_text(row["log_factor_B"]),
        "oxide for p = 0.10 (pm)": shift_text(row["shift_common_pm"]),
        "oxide for p = 1e-6 (pm)": shift_text(row["shift_rare_pm"]),
    } for _, row in ranked(rows).iterrows()])


def factor_text(log_factor: float) -> str:
    """A factor to three digits, from its ln.

    Example:
        >>> factor_text(math.log(2.0)), factor_text(math.log(1.2345e7)), factor_text(math.log(0.771))
        ('x 2.00', 'x 1.2e7', 'x 0.771')
    """
    value = math.exp(log_factor)
    if 0.01 <= value < 1000.0:
        return f"x {value:#.3g}".rstrip(".")
    digits, power = f"{value:.1e}".split("e")
    return f"x {digits}e{int(power)}"


def shift_text(shift_pm: float) -> str:
    """Picometres with their sign.

    Example:
        >>> shift_text(23.46), shift_text(math.nan)
        ('+23', 'no thickness')
    """
    return "no thickness" if math.isnan(shift_pm) else f"{round(shift_pm, 0 if abs(shift_pm) >= 10.0 else 1) + 0.0:+g}"


def figure(rows: pd.DataFrame) -> Figure:
    """Shifts in pm and factors, effect by effect; the two that must not stand alone in grey at the bottom."""
    order = ranked(rows)
    drawn, axes = new_figure(1, 2, width=6.2, height=1.8 + 0.25 * len(order), sharey=True)
    places = np.arange(len(order))[::-1]
    for side, (column, name) in enumerate((("shift_common_pm", "p = 0.10"), ("shift_rare_pm", "p = 1e-6"))):
        shifts = order[column].to_numpy(float)
        bars = axes[0, 0].barh(places + 0.2 - 0.4 * side, np.nan_to_num(shifts, nan=ENDS_pm), height=0.38,
                               color=_shades(order, side), label=name)
        for bar, shift in zip(bars, shifts, strict=True):
            if math.isnan(shift):
                bar.set(hatch="////", facecolor="white", edgecolor=COLOURS[side], linewidth=0.8)
    for side, (column, name) in enumerate((("log_factor_A", "1.765 nm"), ("log_factor_B", "2.12 nm"))):
        factors = np.clip(np.exp(order[column].to_numpy(float)), *ENDS)
        axes[0, 1].hlines(places + 0.2 - 0.4 * side, 1.0, factors, color=_shades(order, side), linewidth=1.2)
        axes[0, 1].scatter(factors, places + 0.2 - 0.4 * side, color=_shades(order, side), s=18, label=name,
                           marker="os"[side], zorder=3)
    _finish(axes, order, places)
    return drawn


def _shades(order: pd.DataFrame, side: int) -> list[str]:
    return ["#9a9a9a" if alone else COLOURS[side] for alone in order["alone"]]


def _finish(axes: Any, order: pd.DataFrame, places: np.ndarray) -> None:
    """Axes, labels, legends and the line above the warnings."""
    left, right = axes[0]
    left.set_xscale("symlog", linthresh=10.0, linscale=0.6)
    left.set(xlim=(-ENDS_pm, ENDS_pm), ylim=(-0.8, len(order) - 0.2), xlabel="shift of the oxide thickness (pm)",
             title="3nm card: oxide for the same flip probability")
    ticks = (-1000, -100, -10, 0, 10, 100, 1000)
    left.set_xticks(ticks, [f"{tick:+d}" if tick else "0" for tick in ticks])
    left.set_yticks(places, order["label"])
    right.set_xscale("log")
    right.set(xlim=(0.3 * ENDS[0], 3.0 * ENDS[1]), xlabel="factor on p_flip (ends of the axis: beyond it)",
              title="factor on the flip probability")
    for axis in (left, right):
        axis.axvline(0.0 if axis is left else 1.0, color="black", linewidth=0.8)
        axis.axhline(order["alone"].sum() - 0.5, color="#777777", linewidth=0.8, linestyle=":")
        axis.grid(axis="y", visible=False)
        axis.legend(loc="upper right", framealpha=0.95)
    left.annotate("hatched: no\nthickness brings\np so low", (0.02, 0.3), xycoords="axes fraction", fontsize=8.5)
    right.annotate("grey: never one without the other", (0.98, 0.045), xycoords="axes fraction", fontsize=8.5,
                   ha="right")


def claims(rows: pd.DataFrame) -> list[Claim]:
    """Bias and prefactor together, and every factor that was worked out by other means."""
    known = rows.set_index("effect")
    shifts = {name: known.loc[name, "shift_common_pm"] for name in SHIFTS_pm}
    off = {f"{name} at {where}": (math.exp(known.loc[name, f"log_factor_{where}"]), text)
           for name, texts in FACTORS.items() if name in known.index
           for where, text in zip("AB", texts, strict=True) if text}
    wrong = [f"{what}: {value:.4g}, not {text}" for what, (value, text) in off.items() if not same(value, text)]
    large = rows[(rows["log_factor_B"].abs() > CHANGED) & (rows["kind"] != "alone")]
    return [
        Claim("together", "A", "bias and prefactor are switched on together or not at all",
              f"together {shift_text(shifts['both'])} pm, alone {shift_text(shifts['bias'])} and "
              f"{shift_text(shifts['prefactor'])} pm",
              holds(all(abs(shifts[name] - value) < 1.0 for name, value in SHIFTS_pm.items())),
              "Expected are +23, +103 and -193 pm.", kind="ours"),
        Claim("factors", "A and B", "the factors are those worked out by other means, to their last digit",
              f"{len(off) - len(wrong)} of {len(off)}", holds(not wrong), "; ".join(wrong) or "All are.", kind="ours"),
        Claim("calibrate", "B", "most effects change a rare flip probability by more than a factor of two, so that a "
              "card must be calibrated", f"{len(large)} of {(rows['kind'] != 'alone').sum()}",
              holds(2 * len(large) > (rows["kind"] != "alone").sum()), "Fewer than half do.", kind="ours"),
    ]


def same(value: float, text: str) -> bool:
    """Whether a value is that of a text but for one unit of its last digit.

    Example:
        >>> same(1.563, "1.57"), same(1.58, "1.56"), same(5.6e4, "6e4")
        (True, False, True)
    """
    digits, _, power = text.partition("e")
    unit = 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))
    return abs(value - float(text)) <= 1.001 * unit


STUDY = Study(
    name="physics_effects", title="What changes p_flip by how much", where="ours", cases=cases, measure=measure,
    figure=figure, table=table, claims=claims, most_seeds=1, decided_by_smoke=("together", "factors", "calibrate"),
    sample="the 3nm card; no chance in it",
)

if __name__ == "__main__":
    STUDY.main()
