"""One run of a sweep, from opening its store and crew to the finished result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from qtaml_codesign.nets.workload import Workload, load_workload
from qtaml_codesign.sweeps.collect import ProgressReport, SweepProgress
from qtaml_codesign.sweeps.crew import Crew
from qtaml_codesign.sweeps.lenders import lender
from qtaml_codesign.sweeps.outputs import writable_folder
from qtaml_codesign.sweeps.points import Measurement
from qtaml_codesign.sweeps.result import Sweep
from qtaml_codesign.sweeps.settings import SweepSettings
from qtaml_codesign.sweeps.soundness import check_evaluation
from qtaml_codesign.sweeps.store import STORE_NAME, ResultStore
from qtaml_codesign.sweeps.trial import handle_for


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

    def run(self, measure: Callable[[Measurement], Rows], deciding: bool = False) -> Sweep:
        """Measure, gather the result, and write it where a folder was named.

        Args:
            measure: one of the functions of `ways`, which choose the points.
            deciding: leave a point once it is known on which side of the target it lies.
        """
        folder = None if self.out is None else writable_folder(self.out)
        network = _known_workload(self.workload)
        notes = check_evaluation(network, self.settings.target)
        settings = _deciding(self.settings, network) if deciding else self.settings
        leaves_process = self.width > 1 or not (self.executor is None or isinstance(self.executor, ThreadPoolExecutor))
        crew = Crew(handle_for(network, portable=leaves_process), self.width, self.executor)
        path = None if folder is None else folder / STORE_NAME
        lenders = [lender(place) for place in self.reuse]
        with ResultStore(path, lenders) as store, crew, single_threaded():
            before = store.count_trials()
            measurement = Measurement(network, settings, crew, store, self.progress or _silent, notes=[*notes])
            rows = measure(measurement)
            measurement.notes += [*store.notes, *measurement.near_clean(rows.points)]
            new_trials = store.count_trials() - before - store.borrowed_trials
            result = self._result(measurement, rows, new_trials, store.borrowed_trials)
        if folder is not None:
            result.save(folder)
        return result

    def _result(self, measurement: Measurement, rows: Rows, new_trials: int, borrowed_trials: int) -> Sweep:
        network, counts = measurement.network, measurement.counts
        return Sweep(
            points=rows.points, knots=rows.knots, interpolated=rows.interpolated, card=self.card,
            grid_nm=rows.grid_nm, settings=measurement.settings, workload_name=network.name,
            workload_digest=network.digest, exposure=network.exposure, clean_correct=network.clean_correct,
            samples=network.samples,
            counts=TrialCounts.total([counts[key] for key in sorted(counts)]),
            tasks=len(counts), new_trials=new_trials, borrowed_trials=borrowed_trials,
            warnings=tuple(dict.fromkeys([*rows.warnings, *measurement.notes, *measurement.crew.notes])),
        )


def _deciding(settings: SweepSettings, network: Workload) -> SweepSettings:
    return replace(settings, rule=replace(settings.rule, threshold=settings.target * network.clean_accuracy))


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
