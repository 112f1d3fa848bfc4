"""The shapes of a barrier that a card can name, drawn as the potential that the electron meets.

Each at the thickness and energy of the 3 nm card (the stacks: 0.8 nm of SiO2 below 2 nm of HfO2), with its action, its
WKB and exact transmission (electrodes of 0.916 m0), and the thickness for p_flip = 0.10, attempt frequency as it is.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import qtaml_codesign as qc
from lab.claims import Claim, holds
from lab.effects import CARD, EFFECTS, FORCED, OXIDE, high_k, image, trapezoid
from lab.figures import COLOURS, new_figure
from lab.study import Scale, Study

GRADED = [[0.0, 2.6], [0.2, 3.1], [0.8, 3.1], [1.0, 2.6]]
SHAPES: dict[str, dict[str, Any]] = {
    "rectangular": {}, "trapezoidal, 0.65 V": trapezoid(0.65), "trapezoidal, 3.5 V: Fowler-Nordheim": trapezoid(3.5),
    "stack": high_k(2.05, 0.11), "stack, 0.65 V": {**high_k(2.05, 0.11), "barrier.bias_V": 0.65, **FORCED},
    "image force, permittivity 3.9": image(3.9), "two bands, 0.61 m0": EFFECTS["two-band"].fields,
    "profile: graded ends": {"barrier": {key: value for key, value in OXIDE.items() if key != "height_eV"}
                             | {"model": "profile", "points": GRADED}},
}
EXACT = {"barrier.transmission": "exact", "barrier.electrode_mass_m0": 0.916, **FORCED}
OTHERS = {("rectangular", "exact_over_wkb"): (0.1129, 4e-4),
          ("trapezoidal, 0.65 V", "action"): (18.8698444403401, 1e-13),
          ("trapezoidal, 0.65 V", "exact"): (2.71322906812e-9, 1e-6), ("stack", "wkb"): (7.83e-9, 1e-3),
          ("stack", "exact_over_wkb"): (0.070, 1e-2)}
"""Worked out by quadrature, Airy functions and by hand, with the relative error that the digits given leave."""
ELECTRODE_nm = 0.6


def cases(scale: Scale) -> list[dict[str, Any]]:
    """One case per shape."""
    return [{"shape": shape} for shape in SHAPES]


def measure(case: dict[str, Any], networks: Path) -> list[dict[str, Any]]:
    """A row per corner of the potential: place and height above the band edge of the emitter."""
    card = qc.load_card(CARD).with_fields(SHAPES[case["shape"]])
    cell = card.resolve()
    thickness, barrier = cell.thickness_nm, cell.barrier
    exact = float(card.with_fields(EXACT).resolve().barrier.action(thickness))
    wkb = float(barrier.action(thickness))
    figures = {"thickness_nm": thickness, "energy_eV": barrier.energy_eV, "action": wkb, "wkb": math.exp(-wkb),
               "exact": math.exp(-exact), "exact_over_wkb": math.exp(wkb - exact),
               "needed_nm": qc.thickness_for(card, 0.10)}
    pieces = barrier.landscape(np.array([thickness]))
    ends = np.concatenate([[0.0], np.cumsum(pieces.width_nm[0])])
    places = np.stack([ends[:-1], ends[1:]], axis=1).ravel()
    heights = np.stack([pieces.start_eV[0], pieces.end_eV[0]], axis=1).ravel() + barrier.energy_eV
    return [{**figures, "x_nm": place, "potential_eV": height, "collector_eV": barrier.energy_eV - pieces.collector_eV}
            for place, height in zip(places.tolist(), heights.tolist(), strict=True)]


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per shape."""
    return pd.DataFrame([{
        "shape": shape, "thickness (nm)": f"{first['thickness_nm']:g}", "S": f"{first['action']:.4f}",
        "T, WKB": f"{first['wkb']:.3g}", "T, exact": f"{first['exact']:.3g}",
        "exact / WKB": f"{first['exact_over_wkb']:.3f}",
        "thickness for p = 0.10 (nm), WKB": f"{first['needed_nm']:.3f}",
    } for shape, first in firsts(rows).items()])


def firsts(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """The first row of each shape, which has its figures."""
    return {str(shape): group.iloc[0] for shape, group in rows.groupby("shape", sort=False)}


def figure(rows: pd.DataFrame) -> Figure:
    """The potentials, with the electrodes and the electron."""
    drawn, axes = new_figure(2, 4, width=3.1, height=2.7, sharex=True, sharey=True)
    for axis, (shape, group) in zip(axes.flat, rows.groupby("shape", sort=False), strict=False):
        first = group.iloc[0]
        end, collector = float(group["x_nm"].max()), float(first["collector_eV"])
        place, height = (group[name].to_numpy(float) for name in ("x_nm", "potential_eV"))
        axis.fill_between(place, height, first["energy_eV"], where=height >= first["energy_eV"], interpolate=True,
                          color=COLOURS[0], alpha=0.18, linewidth=0)
        axis.plot([-ELECTRODE_nm, 0.0, *place, end, end + ELECTRODE_nm], [0.0, 0.0, *height, collector, collector],
                  color=COLOURS[0])
        axis.axhline(first["energy_eV"], color=COLOURS[1], linewidth=1.0, linestyle="--")
        axis.set(title=str(shape), xlim=(-ELECTRODE_nm, 2.8 + ELECTRODE_nm), ylim=(-5.6, 3.5))
        axis.annotate(f"S = {first['action']:.2f}\nexact / WKB = {first['exact_over_wkb']:.3g}", (0.03, 0.03),
                      xycoords="axes fraction", fontsize=8.5)
    for axis in axes[-1]:
        axis.set_xlabel("place (nm)")
    for axis in axes[:, 0]:
        axis.set_ylabel("potential (eV)")
    return drawn


def claims(rows: pd.DataFrame) -> list[Claim]:
    """The figures that were worked out by other means."""
    found = firsts(rows)
    off = {f"{shape}, {name}": abs(float(found[shape][name]) / value - 1.0) / error
           for (shape, name), (value, error) in OTHERS.items()}
    worst = max(off, key=lambda name: off[name])
    return [Claim("values", "S and T", "actions and transmissions are those worked out by other means, to their digits",
                  f"{sum(share <= 1.0 for share in off.values())} of {len(off)}", holds(off[worst] <= 1.0),
                  f"The furthest off is {worst}.", kind="ours")]


STUDY = Study(
    name="barrier_shapes", title="The barriers that a card can name", where="ours", cases=cases, measure=measure,
    figure=figure, table=table, claims=claims, most_seeds=1, decided_by_smoke=("values",),
    sample="electron at 0.05 eV; no chance in it",
)

if __name__ == "__main__":
    STUDY.main()
