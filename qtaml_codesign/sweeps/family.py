"""Sweeps of one network over cards that differ in a field, such as the temperature or the window."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from qtaml_codesign.cards import DeviceCard, as_card
from qtaml_codesign.errors import InputError
from qtaml_codesign.files import write_whole
from qtaml_codesign.nets.loading import load_workload
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.physics.cell_fields import THICKNESS, is_whole
from qtaml_codesign.physics.solving import solvable_field
from qtaml_codesign.plots.family import draw_family
from qtaml_codesign.plots.saving import checked_format, save_figure
from qtaml_codesign.sweeps.api import sweep
from qtaml_codesign.sweeps.outputs import csv_text, result_folder
from qtaml_codesign.sweeps.result import Sweep

Settings = dict[str, float]


@dataclass(frozen=True, eq=False)
class SweepFamily:
    """Sweeps of the same network and options, of one card with other values in some of its fields.

    Attributes:
        fields: dotted card fields that differ.
        members: their values, and the sweep there, the last field fastest.
    """

    fields: tuple[str, ...]
    members: tuple[tuple[Settings, Sweep], ...]

    def to_frame(self) -> pd.DataFrame:
        """The columns of `sweep.csv` after one for each field."""
        return self._joined([one.to_frame() for _, one in self.members])

    def frontier(self) -> pd.DataFrame:
        """The columns of `frontier.csv` after one for each field: the thinnest oxide over temperature, window ..."""
        return self._joined([one.frontier().to_frame() for _, one in self.members])

    def save(self, folder: str | Path, figure_format: str = "png") -> None:
        """Write sweep.csv, frontier.csv and frontier.png of all members together.

        Args:
            folder: must exist.
            figure_format: of frontier.png, or of frontier.svg or frontier.pdf in its place.

        Raises:
            StoreError: it cannot be written.
            InputError: an unknown format.
        """
        place, figure = Path(folder), f"frontier.{checked_format(figure_format)}"
        write_whole(place / "sweep.csv", csv_text(self.to_frame()).encode(), "out (--out)")
        write_whole(place / "frontier.csv", csv_text(self.frontier()).encode(), "out (--out)")
        first, swept = self.members[0][1], self.to_frame()["thickness_nm"]
        title = f"{first.card.name}, {first.workload_name}: keeps {first.options.wanted}"
        ends = (float(swept.min()), float(swept.max()))
        save_figure(draw_family(self.frontier(), self.fields[-1], title, ends), place / figure)

    def _joined(self, tables: list[pd.DataFrame]) -> pd.DataFrame:
        told = [table.assign(**settings)[[*settings, *table.columns]]
                for (settings, _), table in zip(self.members, tables, strict=True)]
        return pd.concat(told, ignore_index=True)


def sweep_family(
    workload: Workload | str, card: DeviceCard | str | Path, vary: Mapping[str, ArrayLike],
    *, out: str | Path | None = None, reuse: Sequence[str | Path] = (), **more: Any,
) -> SweepFamily:
    """A sweep over oxide thickness for each value of other card fields; equal flip probabilities share their trials.

    Args:
        workload: a network with its data, a zoo name, or "FILE.py:FACTORY".
        card: a device card, its name, or its path.
        vary: card field (dotted, or its last part) to its values; several make a grid.
        out: folder; each member has one inside it, with all that `sweep` writes.
        reuse: as in `sweep`.
        more: as in `sweep`.

    Raises:
        InputError: the thickness, which every sweep runs over, an unknown field, or no value.
        CardError: a value that the card's schema refuses.
        WorkloadError: a network or its data that cannot be used.
        StoreError: a folder or result store that cannot be used.

    Example:
        >>> found = sweep_family("small-cnn", "3nm", {"window_s": [1e-7, 1e-6]}, thickness_nm=[1.6, 1.8],
        ...                      budgets=[0.05], methods=["tac"], trials=2, refine=False)
        >>> found.to_frame().groupby("window_s").size().tolist()
        [2, 2]
    """
    device = as_card(card)
    grid = {solvable_field(device, name, "vary (--vary)"): np.ravel(np.asarray(values)).tolist()
            for name, values in vary.items()}
    if not grid or THICKNESS in grid or not all(grid.values()):
        raise InputError("these fields cannot be varied beside the thickness", where="vary (--vary)",
                         rule=f"one or more card fields but {THICKNESS}, each with values", value=", ".join(vary),
                         next_step="for instance --vary temperature_K=300:400:3")
    settings = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    cards = [device.with_fields({field: int(value) if is_whole(field) else value for field, value in one.items()})
             for one in settings]
    network, members = load_workload(workload), list[tuple[Settings, Sweep]]()
    with nullcontext() if out is None else result_folder(out) as folder:
        places = [None if folder is None else folder / _name(one) for one in settings]
        for one, varied, place in zip(settings, cards, places, strict=True):
            earlier = [other for other in places[:len(members)] if other is not None]
            members.append((one, sweep(network, varied, out=place, reuse=[*reuse, *earlier], **more)))
        family = SweepFamily(tuple(grid), tuple(members))
        if folder is not None:
            family.save(folder, more.get("figure_format", "png"))
    return family


def _name(settings: Settings) -> str:
    return ",".join(f"{field}={value:g}" for field, value in settings.items())
