"""What a sweep returns: its tables, what they stand for, and the files that hold them."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qtaml_codesign.cards import DeviceCard
from qtaml_codesign.errors import InputError
from qtaml_codesign.frontier import CROSSING, Frontier
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.nets.metric import Metric, accuracy_of
from qtaml_codesign.nets.target import Target, as_target
from qtaml_codesign.physics.corners import Corner, corners
from qtaml_codesign.plots import save_sweep
from qtaml_codesign.plots.saving import checked_format
from qtaml_codesign.statistics import Interval
from qtaml_codesign.sweeps.bands import ThicknessBand, band_of
from qtaml_codesign.sweeps.coordinates import flip_law
from qtaml_codesign.sweeps.options import SweepOptions
from qtaml_codesign.sweeps.outputs import RECORD, command_line, csv_text, versions, writable_folder, write_files
from qtaml_codesign.sweeps.task import ENGINE_VERSION, content_digest
from qtaml_codesign.tac.choices import choice_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qtaml_codesign.nets.exposure import Exposure

_UNITS = (
    "thickness_nm in nm; flip_probability per bit and inference window; overhead and budget in 0..1; "
    "overhead = protected bits / stored bits; nominal_ber and realised_ber = expected and counted flips per exposed bit"
)


@dataclass(frozen=True)
class CardRange:
    """One crossing of a frontier, and where it lies at the ends of each range of the card, one field at a time."""

    method: str
    budget: float
    thickness_nm: float
    flip_probability: float
    corners: tuple[Corner, ...]
    cells: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values; without `cells` where the sweep tells of none."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Sweep:
    """The points of a sweep and what they stand for.

    Attributes:
        points: one row per method, budget (or cells) and thickness, in that order, see `to_frame`.
        knots: measured points in the same columns that lie closer together where the curves cross the target; the
            frontier is found there. None when nothing was measured beside `points`.
        card: the device card.
        options: what was asked for.
        workload_name, workload_digest: the network and its evaluation set.
        exposure: what share of the network lies in the tunnelling memory, and what does not.
        clean_interval: the metric of the float network, no quantisation, no flips, with its interval over evaluation
            samples.
        samples: scores of the evaluation set.
        counts: sum over the distinct tasks of the sweep.
        tasks: number of distinct tasks; points that store the same codes under the same rates share one.
        new_trials: trials that this call ran; the others were in its store, or in one that it was allowed to reuse.
        borrowed_trials: trials that came from other stores.
        warnings: what the physics and the plans want the reader to know, each once.
    """

    points: pd.DataFrame
    knots: pd.DataFrame | None
    card: DeviceCard
    options: SweepOptions
    workload_name: str
    workload_digest: str
    exposure: Exposure
    clean_interval: Interval
    samples: int
    counts: TrialCounts
    tasks: int
    new_trials: int
    borrowed_trials: int
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        """A few lines: what was measured, and the answers."""
        options, grid = self.options, self.grid_nm
        return "\n".join([
            f"Sweep of {self.workload_name} on card {self.card.name}: {len(self.points)} points, "
            f"{grid[0]:.4g} to {grid[-1]:.4g} nm, {self.counts.trials} trials",
            f"methods {', '.join(options.methods)}",
            f"budgets {', '.join(f'{budget:g}' for budget in options.budgets)}",
            *([f"cells per weight {', '.join(f'{cells:g}' for cells in options.cells)}"] if options.cells else []),
            *([f"blocks of {options.block} weights"] if options.block else []),
            f"clean {self.metric.name} {self.metric.text(self.clean_value)}",
            repr(self.frontier()),
        ])

    @property
    def grid_nm(self) -> NDArray[np.float64]:
        """The oxide thicknesses of the table in nm, rising, shape (n,)."""
        return np.unique(self.points["thickness_nm"].to_numpy(float))

    @property
    def interpolated(self) -> bool:
        """Whether `points` was interpolated between the knots."""
        return self.options.rows == "interpolated"

    @property
    def metric(self) -> Metric:
        """What was measured."""
        return self.options.stopping.metric

    @property
    def clean_value(self) -> float:
        """The metric of the float network."""
        return self.clean_interval.estimate

    @property
    def clean_accuracy(self) -> float:
        """Accuracy of the float network, in 0..1.

        Raises:
            InputError: another metric was measured.
        """
        return accuracy_of(self.metric, self.clean_value)

    def to_frame(self) -> pd.DataFrame:
        """The columns of `sweep.csv`.

        thickness_nm is the oxide thickness of the base cell, flip_probability its p; accuracy (or the column of another
        metric's name) is that over `trials` drawings of all flips, with its interval over trials
        (`StoppingRule.interval`); image_half_width is half the interval of accuracy - target over evaluation samples,
        paired with the clean network, for the sweep's own target; overhead is the protected fraction of the stored
        bits, at most the budget; nominal_ber and realised_ber are expected and counted flips per exposed cell (NaN when
        every cell is protected). In an interpolated sweep `trials` is the smaller of the two knots', realised_ber is
        NaN (nothing was drawn at that thickness), and nominal_ber is where it steps between the two knots' plans.
        Where a method spends cells, `cells` stands after `budget`: cells per weight that it may spend, or that the
        codes of another method take.
        """
        return self.points.copy()

    def frontier(self, target: float | str | Target | None = None) -> Frontier:
        """The thinnest oxide that keeps a target, per method and budget or cells.

        Another target than the sweep's is read off the grid as it is, without the interval over evaluation samples,
        which is paired with the sweep's own target.

        Args:
            target: as in `sweep`; default: the sweep's own.

        Raises:
            InputError: another target, where only the sweep's was looked for (`find_frontier`); one that cannot be
                read, or is better than the clean network.
        """
        own = self.options.wanted
        wanted = own if target is None else as_target(target)
        if self.options.rows == "knots" and wanted != own:
            raise InputError("this search has looked for another target", where="frontier(target)",
                             rule=f"target {own}, or a sweep over a grid of thickness",
                             value=wanted, next_step="call find_frontier(..., target=...), or qc.sweep")
        knots = self._with_ends(self.knots) if self.interpolated and self.knots is not None else self.knots
        unpaired = [] if wanted == own else ["image_half_width"]
        return Frontier(self.points.drop(columns=unpaired), wanted, flip_law(self.card),
                        None if knots is None else knots.drop(columns=unpaired), self.metric)

    def card_ranges(self) -> tuple[CardRange, ...]:
        """For each crossing of the frontier; empty where the card states no range, or `has_cells_apart`.

        Where all cells are alike the accuracy depends on the card through the flip probability alone, and the answer
        keeps its own.
        """
        if not states_ranges(self.card) or has_cells_apart(self.card):
            return ()
        table = self.frontier().to_frame()
        rows = table[(table["status"] == CROSSING) & table["flip_probability"].between(0.0, 1.0, "neither")]
        return tuple(
            CardRange(found.method, found.budget, float(row["thickness_nm"]), float(row["flip_probability"]),
                      corners(self.card, float(row["flip_probability"])), found.cells)
            for _, row in rows.iterrows() for found in [choice_of(row)]
        )

    def card_bands(self, samples: int = 200, seed: int = 0) -> tuple[ThicknessBand, ...]:
        """For each crossing of the frontier: its thickness over cards drawn within the ranges that the card states.

        Where all cells are alike the accuracy depends on the card through the flip probability alone, and each card
        that is drawn has the thickness of the crossing's own.

        Args:
            samples: cards to draw.
            seed: key of the drawing.

        Raises:
            InputError: the card states no range, or its cells are of several kinds.
        """
        if has_cells_apart(self.card):
            raise InputError("the cells of this card do not all flip alike", where=f"card {self.card.name} (--sample)",
                             rule="one flip probability for all cells", value="regions or bit planes of their own",
                             next_step="leave --sample out; `codesign flip --sample` draws the base cell")
        table = self.frontier().to_frame()
        rows = table[(table["status"] == CROSSING) & table["flip_probability"].between(0.0, 1.0, "neither")]
        return tuple(band_of(self.card, choice_of(row), row, samples, seed) for _, row in rows.iterrows())

    def save(self, folder: str | Path, figure_format: str = "png") -> tuple[Path, ...]:
        """Write sweep.csv, frontier.csv, frontier.png, run.json, and knots.csv where there are knots.

        Args:
            folder: made if missing; tables of other options that lie there are kept in earlier/.
            figure_format: of frontier.png, or of frontier.svg or frontier.pdf in its place.

        Returns:
            Their paths.

        Raises:
            StoreError, InputError: the folder cannot be written to; an unknown format.
        """
        record = self._record()
        files = {
            "sweep.csv": csv_text(self.points).encode(),
            **({} if self.knots is None else {"knots.csv": csv_text(self.knots).encode()}),
            "frontier.csv": csv_text(self.frontier().to_frame()).encode(),
            f"frontier.{figure_format}": self._picture(checked_format(figure_format)),
            RECORD: (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode(),
        }
        return write_files(writable_folder(folder), files, record["options"])

    def _with_ends(self, knots: pd.DataFrame) -> pd.DataFrame:
        """Knots, and the rows of the table at those of its ends that are no knots; thickness rising in each curve."""
        ends = self.points["thickness_nm"].agg(["min", "max"])
        edges = self.points[self.points["thickness_nm"].isin(ends)]
        both = pd.concat([knots, edges], ignore_index=True) if len(knots) else edges
        curve = self.options.curve_columns
        groups = both.drop_duplicates([*curve, "thickness_nm"]).groupby(curve, sort=False)
        return pd.concat([rows.sort_values("thickness_nm") for _, rows in groups], ignore_index=True)

    def _picture(self, figure_format: str) -> bytes:
        picture, stopping = io.BytesIO(), self.options.stopping
        measured = self.points if self.knots is None or self.interpolated else self._with_ends(self.knots)
        save_sweep(measured, self.frontier().to_frame(), self.options.wanted, picture,
                   f"{self.card.name} card, {self.workload_name}", metric=self.metric, window_s=self.card.window_s,
                   confidence=stopping.confidence, knots=self.knots if self.interpolated else None,
                   searched=stopping.threshold is not None, figure_format=figure_format)
        return picture.getvalue()

    def _record(self) -> dict[str, Any]:
        """What `run.json` holds: enough to know, and to repeat, what was run."""
        options, stopping, clean, metric = self.options, self.options.stopping, self.clean_interval, self.metric
        return {
            "command": command_line(),
            "card": self.card.model_dump(mode="json"),
            "card_provenance": {field: origin.model_dump(mode="json", exclude_none=True)
                                for field, origin in self.card.provenance.items()},
            "workload": {
                "name": self.workload_name, "digest": self.workload_digest, "samples": self.samples,
                metric.clean_column: clean.estimate, f"{metric.clean_column}_low": clean.low,
                f"{metric.clean_column}_high": clean.high,
                "interval": f"{'Clopper-Pearson' if self.counts.is_counted else 'Student'} over evaluation samples",
            },
            "exposure": self.exposure.to_json(),
            **options.to_json(), "confidence": stopping.confidence, "interval": stopping.describe_interval(),
            "image_interval": f"Student over evaluation samples, of {metric.name} - target, paired with clean",
            "interpolated": self.interpolated,
            "options": options_record(self.card, self.workload_digest, options),
            "card_ranges": [found.to_json() for found in self.card_ranges()],
            "tasks": self.tasks, "trials": self.counts.trials, "warnings": list(self.warnings),
            "units": _UNITS + ("; cells per weight" if options.cells else ""),
            "engine": ENGINE_VERSION, "versions": versions(),
        }


def options_record(card: DeviceCard, workload_digest: str, options: SweepOptions) -> dict[str, Any]:
    """Everything that acts on the tables, as plain values that survive JSON: the same gives the same tables.

    Args:
        card: told by its digest.
        workload_digest: `Workload.digest`.
        options: what was asked for.
    """
    return {"card": content_digest(card.to_dict()), "workload": workload_digest, **options.to_json(),
            "engine": ENGINE_VERSION}


def states_ranges(card: DeviceCard) -> bool:
    """Whether any number of the card has a range."""
    return any(origin.low is not None or origin.high is not None for origin in card.provenance.values())


def has_cells_apart(card: DeviceCard) -> bool:
    """Whether regions or bit planes of a card have numbers of their own, and do not follow its base cell."""
    return bool(card.regions or card.bit_planes)
