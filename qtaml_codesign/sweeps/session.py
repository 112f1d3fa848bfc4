"""One run of a sweep, from opening its store and crew to the finished result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from numpy import float64
from numpy.typing import NDArray

from qtaml_codesign.cards import DeviceCard
from qtaml_codesign.errors import InputError
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.nets.evaluate import single_threaded
from qtaml_codesign.nets.metric import Metric
from qtaml_codesign.nets.workload import Workload, load_workload
from qtaml_codesign.sweeps.crew import Crew
from qtaml_codesign.sweeps.handle import handle_for
from qtaml_codesign.sweeps.lenders import lender
from qtaml_codesign.sweeps.options import differences, options_record
from qtaml_codesign.sweeps.outputs import earlier_folder, standing_options, writable_folder
from qtaml_codesign.sweeps.points import Measurement
from qtaml_codesign.sweeps.progress import FirstAnswer, ProgressReport, SweepProgress
from qtaml_codesign.sweeps.result import Sweep
from qtaml_codesign.sweeps.settings import SweepSettings
from qtaml_codesign.sweeps.soundness import check_evaluation
from qtaml_codesign.sweeps.store import STORE_NAME, ResultStore

SMALL = 1_000_000
"""A network of at most so many stored weights gives its first answer in this process."""

FIRST = "first answer"


@dataclass(frozen=True)
class Rows:
    """What a way of measuring hands back.

    Args:
        points: the table of the sweep.
        knots: measured points of the same columns, closer together at the crossing of the target; None: as in `points`.
        grid_nm: the thicknesses of the table, rising.
        warnings: what the physics wants the reader to know.
        interpolated: True when the table was interpolated between the knots.
    """

    points: pd.DataFrame
    knots: pd.DataFrame | None
    grid_nm: NDArray[float64]
    warnings: tuple[str, ...]
    interpolated: bool = False


@dataclass(frozen=True)
class Session:
    """A network, a card, a store and a crew, opened together and closed together."""

    workload: Workload | str
    card: DeviceCard
    settings: SweepSettings
    width: int
    executor: Executor | None
    out: str | Path | None
    reuse: Sequence[str | Path]
    progress: ProgressReport | None
    metric: str | Metric | None = None

    def run(
        self, measure: Callable[[Measurement], Rows], asked: Mapping[str, object], *,
        preview: Callable[[Measurement], FirstAnswer | None], leaving: bool = False,
    ) -> Sweep:
        """Measure, gather the result, and write it where a folder was named.

        Args:
            measure: one of the functions of `ways`, which choose the points.
            asked: how `measure` was asked to choose them, as plain values.
            preview: finds a first answer, for whoever listens to the progress.
            leaving: leave a point once it is known on which side of the target it lies.
        """
        folder = None if self.out is None else writable_folder(self.out)
        network = _known_workload(self.workload)
        network = network if self.metric is None else network.with_metric(self.metric)
        notes = check_evaluation(network, self.settings.target or network.metric.usual_target)
        settings = self.settings.measuring(network, leaving)
        leaves_process = self.width > 1 or not (self.executor is None or isinstance(self.executor, ThreadPoolExecutor))
        options = options_record(self.card, network.digest, settings, asked)
        if folder is not None:
            self._tell_what_moves(folder, options)
        crew = Crew(handle_for(network, portable=leaves_process), self.width, self.executor)
        path = None if folder is None else folder / STORE_NAME
        lenders = [lender(place) for place in self.reuse]
        with ResultStore(path, lenders) as store, crew, single_threaded():
            before = store.count_trials()
            deciding = settings.measuring(network, deciding=True)
            self._preview(preview, Measurement(network, deciding, crew, store, self._calibrating))
            measurement = Measurement(network, settings, crew, store, self.progress or _silent, notes=[*notes])
            rows = measure(measurement)
            measurement.notes += [*store.notes, *measurement.near_clean(rows.points)]
            new_trials = store.count_trials() - before - store.borrowed_trials
            result = self._result(measurement, rows, options, new_trials, store.borrowed_trials)
        if folder is not None:
            result.save(folder)
        return result

    def _tell_what_moves(self, folder: Path, options: Mapping[str, object]) -> None:
        standing = standing_options(folder)
        if standing is not None and standing != options and self.progress is not None:
            self.progress(SweepProgress("plans", 0, 0, note=(
                f"the tables in {folder} were made with other options ({', '.join(differences(standing, options))}); "
                f"they go to {earlier_folder(folder, standing)} when the new ones are written"
            )))

    def _preview(self, preview: Callable[[Measurement], FirstAnswer | None], measurement: Measurement) -> None:
        """A first answer for whoever listens; a small network gives it here, before the workers have even started."""
        if self.progress is None:
            return
        self.progress(SweepProgress(FIRST, 0, 0))
        network = measurement.network
        if sum(weight.size for weight in network.weights.values()) <= SMALL:
            measurement = replace(measurement, crew=Crew(handle_for(network, portable=False)))
        self.progress(SweepProgress(FIRST, 1, 1, answer=preview(measurement)))

    def _calibrating(self, state: SweepProgress) -> None:
        """Of a first answer's progress the calibration alone: its gains are those of the curves, and may take long."""
        if self.progress is not None and state.stage == "calibration":
            self.progress(state)

    def _result(
        self, measurement: Measurement, rows: Rows, options: Mapping[str, object], new_trials: int, borrowed_trials: int
    ) -> Sweep:
        network, counts = measurement.network, measurement.counts
        return Sweep(
            points=rows.points, knots=rows.knots, interpolated=rows.interpolated, card=self.card,
            grid_nm=rows.grid_nm, settings=measurement.settings, workload_name=network.name,
            workload_digest=network.digest, exposure=network.exposure,
            clean_interval=network.scoring.clean_interval(measurement.settings.rule.confidence),
            samples=network.samples,
            counts=TrialCounts.total([counts[key] for key in sorted(counts)]),
            options=options, tasks=len(counts), new_trials=new_trials, borrowed_trials=borrowed_trials,
            warnings=tuple(dict.fromkeys([*rows.warnings, *measurement.notes, *measurement.crew.notes])),
        )


def _known_workload(workload: Workload | str) -> Workload:
    if isinstance(workload, Workload):
        return workload
    if isinstance(workload, str):
        return load_workload(workload)
    raise InputError("this is not a workload", where="workload", rule="a Workload, a zoo name, or 'FILE.py:FACTORY'",
                     value=type(workload).__name__,
                     next_step="wrap it: qc.Workload(model=..., calibration=..., evaluation=(inputs, labels))")


def _silent(_: SweepProgress) -> None:
    """Progress that nobody reads."""
