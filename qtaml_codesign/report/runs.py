"""A finished run, read back from its folder: tables, record, card, and the plans behind its answers."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qtaml_codesign.bits.cell_law import BitErrorProfile
from qtaml_codesign.card_schema.trees import put
from qtaml_codesign.cards import DeviceCard
from qtaml_codesign.errors import StoreError
from qtaml_codesign.frontier import BEYOND
from qtaml_codesign.nets.target import Target, as_target
from qtaml_codesign.physics.flip import flip_probability
from qtaml_codesign.sweeps.coordinates import OctaveCoordinate, coordinate_for
from qtaml_codesign.sweeps.jobs import PlanRequest
from qtaml_codesign.sweeps.outputs import RECORD
from qtaml_codesign.sweeps.store import STORE_NAME, ResultStore
from qtaml_codesign.tac.choices import Choice, choice_of, choices_of
from qtaml_codesign.tac.methods import CELL_METHODS, METHOD_RULES
from qtaml_codesign.tac.plan import TacPlan

_NEEDED = (RECORD, "sweep.csv", "frontier.csv", STORE_NAME)


@dataclass(frozen=True)
class FoundPlan:
    """The plan of a curve at the measured point that lies nearest its answer."""

    choice: Choice
    thickness_nm: float
    flip_probability: float
    plan: TacPlan


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """What `codesign sweep` or `codesign frontier` wrote.

    Attributes:
        folder: where it lies.
        record: content of run.json.
        card: the device card of the run.
        points: sweep.csv.
        measured: knots.csv where the run has one, else sweep.csv: what was measured, nothing interpolated.
        frontier: frontier.csv.
        plans: one for each curve; a plan that the store does not hold is left out.
    """

    folder: Path
    record: dict[str, Any]
    card: DeviceCard
    points: pd.DataFrame
    measured: pd.DataFrame
    frontier: pd.DataFrame
    plans: tuple[FoundPlan, ...]

    @property
    def metric(self) -> str:
        """Name of what was measured."""
        return str(self.record["metric"])

    @property
    def column(self) -> str:
        """Its column in the tables."""
        return self.metric.replace("-", "_")

    @property
    def clean(self) -> tuple[float, float, float]:
        """The value of the float network, with the ends of its interval over samples."""
        told = self.record["workload"]
        name = f"clean_{self.column}"
        return float(told[name]), float(told[f"{name}_low"]), float(told[f"{name}_high"])

    @property
    def target(self) -> Target:
        """What was to be kept."""
        return as_target(self.record["target"])

    @property
    def ends_nm(self) -> tuple[float, float]:
        """The thinnest and the thickest oxide of the run, in nm."""
        return float(self.points["thickness_nm"].min()), float(self.points["thickness_nm"].max())


def read_run(folder: str | Path) -> FinishedRun:
    """A finished run.

    Args:
        folder: that `codesign sweep` or `codesign frontier` wrote.

    Raises:
        StoreError: it is not such a folder, its run has not finished, or a file of it cannot be read.
        CardError: the card of the run does not fit this version, or its barrier is not registered.
    """
    place = Path(folder)
    _check_files(place)
    try:
        record = json.loads((place / RECORD).read_text(encoding="utf-8"))
        points, frontier = pd.read_csv(place / "sweep.csv"), pd.read_csv(place / "frontier.csv")
        knots = pd.read_csv(place / "knots.csv") if (place / "knots.csv").exists() else None
        card = _card(record)
        run = FinishedRun(place, record, card, points, points if knots is None else knots, frontier, ())
        _check_content(run)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as failure:
        raise StoreError("a file of the run cannot be read", where=str(place),
                         rule="files as codesign sweep wrote them", value=f"{type(failure).__name__}: {failure}",
                         next_step="run the sweep again: what is in results.sqlite is not measured twice") from failure
    return replace(run, plans=_plans(run))


def _check_files(place: Path) -> None:
    missing = [name for name in _NEEDED if not (place / name).is_file()]
    if not missing:
        return
    if STORE_NAME not in missing:
        raise StoreError("this run has not finished", where=str(place), rule=f"a folder with {', '.join(_NEEDED)}",
                         value=f"no {', '.join(missing)}",
                         next_step="give the same codesign command again: it goes on from where it stopped")
    inside = sorted(path.parent.name for path in place.glob(f"*/{RECORD}")) if place.is_dir() else []
    step = f"name a folder inside it: {', '.join(inside[:3])}" if inside else \
        "name a folder that codesign sweep or codesign frontier has written, such as runs/3nm-small-cnn"
    raise StoreError("this is not the folder of a run", where=str(place), rule=f"a folder with {', '.join(_NEEDED)}",
                     value=f"no {', '.join(missing)}" if place.is_dir() else "no such folder", next_step=step)


def _check_content(run: FinishedRun) -> None:
    """Ask for everything that the page will, once."""
    needed = {"thickness_nm", "flip_probability", "method", "budget", "overhead", "trials", run.column}
    for table, columns in ((run.measured, needed), (run.points, needed), (run.frontier, {"method", "status"})):
        if columns - set(table.columns) or table.empty:
            raise ValueError(f"columns {', '.join(sorted(columns - set(table.columns))) or 'without a row'}")
    _ = (run.clean, run.target, run.record["command"], run.record["versions"], run.record["trials"],
         run.record["seed"], run.record["warnings"], run.record["workload"]["name"], run.record["confidence"],
         run.record["interval"], run.record["allocation"], run.record["sensitivity"], run.record["workload"]["digest"])


def _card(record: dict[str, Any]) -> DeviceCard:
    tree = _given(record["card"])
    for field, origin in record.get("card_provenance", {}).items():
        put(tree, field, origin)
    return DeviceCard(**tree)


def _given(tree: Any) -> Any:
    """Without what the card leaves open."""
    if isinstance(tree, dict):
        return {key: _given(value) for key, value in tree.items() if value is not None}
    return [_given(part) for part in tree] if isinstance(tree, list) else tree


def _plans(run: FinishedRun) -> tuple[FoundPlan, ...]:
    found = []
    with ResultStore(run.folder / STORE_NAME, read_only=True) as store:
        for _, answer in run.frontier.iterrows():
            row = _nearest(run, answer)
            requests = [_request(run, choice_of(answer), profile).request_id for profile in _profiles(run, row)]
            texts = store.plans(requests)
            at = float(row["thickness_nm"]), float(row["flip_probability"])
            found += [FoundPlan(choice_of(answer), *at, TacPlan.from_json(texts[key], where=STORE_NAME))
                      for key in requests if key in texts]
    first = {one.choice: one for one in reversed(found)}
    return tuple(first[choice] for choice in choices_of(run.frontier) if choice in first)


def _nearest(run: FinishedRun, answer: pd.Series) -> pd.Series:
    """The measured point of a curve that lies nearest its answer; the thickest where it has none."""
    choice = choice_of(answer)
    rows = run.measured[[choice_of(row) == choice for _, row in run.measured.iterrows()]]
    wanted = run.ends_nm[1] if answer["status"] == BEYOND else float(answer["thickness_nm"])
    return rows.iloc[int(np.abs(rows["thickness_nm"] - wanted).to_numpy().argmin())]


def _profiles(run: FinishedRun, row: pd.Series) -> list[BitErrorProfile]:
    """Flip rates that the plan of a point was made for: at its thickness as it is, or at a knot of its probability."""
    at = flip_probability(run.card, float(row["thickness_nm"]))
    coordinate = coordinate_for(run.card)
    rounded = [coordinate.place(1.0 + float(np.log2(row["flip_probability"]))).profile] \
        if isinstance(coordinate, OctaveCoordinate) and row["flip_probability"] > 0.0 else []
    return [BitErrorProfile.from_flip_probability(at), *rounded]


def _request(run: FinishedRun, choice: Choice, profile: BitErrorProfile) -> PlanRequest:
    record, method = run.record, choice.method
    cells = choice.cells if choice.spends_cells else None
    gains = "auto" if METHOD_RULES[method].chooses_store else record["sensitivity"]
    own = method in CELL_METHODS
    return PlanRequest(record["workload"]["digest"], method, choice.budget, record["seed"], record["allocation"], gains,
                       profile, cells, margin=record.get("margin", 1.0) if own else 1.0,
                       block=record.get("block") if own else None)
