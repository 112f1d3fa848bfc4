"""The sweep: card + network -> the metric at every oxide thickness, method and ECC budget or number of cells, or the
frontier alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from inspect import signature
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from qtaml_codesign.bits.variation import ONE_CHIP
from qtaml_codesign.cards import DeviceCard, as_card
from qtaml_codesign.checks import whole_number
from qtaml_codesign.errors import InputError, did_you_mean
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.nets.loading import load_workload
from qtaml_codesign.nets.threads import single_threaded
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.physics.flip import flip_probability
from qtaml_codesign.plots.saving import checked_format
from qtaml_codesign.sweeps.collect import Measurement
from qtaml_codesign.sweeps.knots import first_answer, measure_rows
from qtaml_codesign.sweeps.lenders import Lender, lender
from qtaml_codesign.sweeps.options import DEFAULT_METHODS, SweepOptions, differences, sweep_options
from qtaml_codesign.sweeps.outputs import earlier_folder, result_folder, standing_options
from qtaml_codesign.sweeps.progress import Progress, ProgressReport, SweepProgress
from qtaml_codesign.sweeps.result import Sweep, options_record
from qtaml_codesign.sweeps.soundness import check_evaluation
from qtaml_codesign.sweeps.store import STORE_NAME, ResultStore
from qtaml_codesign.sweeps.workers import Workers
from qtaml_codesign.tac.ways import MEASURING

__all__ = ["Sweep", "SweepOptions", "SweepProgress", "find_frontier", "sweep"]

SMALL = 1_000_000
"""A network of at most so many stored weights gives its first answer in this process."""

FIRST = "first answer"
LONG = ("calibration", MEASURING)


def sweep(
    workload: Workload | str,
    card: DeviceCard | str | Path,
    thickness_nm: ArrayLike | None = None,
    budgets: Sequence[float] | None = None,
    methods: Sequence[str] = DEFAULT_METHODS,
    seed: int = 0,
    **more: Any,
) -> Sweep:
    """A network's metric under tunnelling flips over oxide thickness, for each protection method and what it may spend.

    The same arguments give the same table to the last bit, whatever the number of workers, and also when the run
    was killed and started again on the same `out` folder: each trial's flips are keyed by (seed, trial, tensor,
    cell), and the number of trials of a point is decided from its own first trials alone.

    Args:
        workload: a network with its data, a zoo name, or "FILE.py:FACTORY".
        card: a device card, its name, or its path.
        thickness_nm: oxide thicknesses in nm; default: see `thickness_grid`.
        budgets: protected-bit fractions in [0, 1]; default 0 to 37.5 %. Methods that protect nothing ignore them, as do
            those that spend `cells`.
        methods: protection methods to compare.
        seed: key of every drawing, >= 0.
        more: any of the following, by name.

    What acts on the tables:
        cells: cells per weight, for methods that choose the store (`tac.methods.CELL_METHODS`): what they spend instead
            of a budget, each number a curve of its own; default 8. The tables then have a column `cells`, in which
            stands what the codes of the other methods take, without what protects them.
        margin: design margin on the raw bit error rate, >= 1 (default), of the methods that spend cells: at each
            thickness they design the store for so many times its flip probability, or for 1/2 where that is less.
        block: weights that share a mean and a scale, for the same methods; default: those of an output channel.
        target: what the frontier keeps: 0.95 (or "0.95 x clean") of the clean value, "clean + 0.1", "clean - 0.02", or
            "= 12.5"; default 0.95, or 1.05 where smaller is better. It must be worse than the clean value.
        metric: what is measured, a name or a `Metric`; default: the workload's own.
        trials: exactly this many drawings per point, >= 2; default: adaptive.
        half_width: adaptive rule: go on until the 95 % interval of the metric is +- this; default 0.01, and of a metric
            without bounds a fifth of what the target allows to lose.
        max_trials: adaptive rule: stop here at the latest; default 320.
        allocation: "greedy" (default) or "exact", for methods that allocate by score.
        sensitivity: how Jacobian gains are measured, "auto" (default), "reverse", "random-sign" or
            "finite-difference"; see `plan`.
        interpolate: measure at knots that the accuracy's own shape asks for, interpolate the grid between them, and
            bisect the frontier; the cost does not depend on the number of thicknesses. Default: on a grid of more than
            48 thicknesses.
        refine: bisect the cells of the grid in which a curve crosses the target, down to a sixteenth of an octave of
            the flip probability, so that the frontier does not depend on the grid. Default: yes; an interpolated sweep
            always does.
        decode: encode, flip and decode the codewords of methods that hold weights under a real code (`joint`) in every
            trial, instead of drawing what the code is known to leave; default: no.

    How it is run:
        workers: processes to run trials in; 1 (default) runs them in this one. A script that asks for more must
            start under `if __name__ == "__main__":`, as Python's process pools need it.
            Beside an executor: how many workers it has, of which each gets two jobs at a time.
        executor: any `concurrent.futures.Executor` instead, of threads, processes or a cluster; it is left running.
            Without `workers` it begins with 16 jobs in flight, and gets one more for each that is done, up to 1024.
            `DaskCluster("dask://HOST:PORT")` is one.
        out: folder for the result store, the CSV files, the figure and run.json; None keeps everything in memory.
        figure_format: of the figure: "png" (default), "svg" or "pdf".
        reuse: result stores of other sweeps (or their folders) to take finished plans and trials from.
        progress: called in this thread with a `SweepProgress` after each step.

    Returns:
        The tables, the frontier, and what they stand for.

    Raises:
        InputError: an argument that cannot be, or that would change nothing, before the workload is loaded; a metric or
            target that does not fit it, after.
        CardError: a card that cannot be read.
        WorkloadError: a network or its data that cannot be used.
        StoreError: a folder or result store that cannot be used.
        CodesignError: workers that cannot start, or a job that ended its worker too often.

    Example:
        >>> import qtaml_codesign as qc
        >>> result = qc.sweep("small-cnn", "3nm", thickness_nm=[1.75, 2.0], budgets=[0.05], trials=2)
        >>> result.to_frame().shape
        (4, 13)
    """
    asked = {"thickness_nm": thickness_nm, "budgets": budgets, "methods": methods, "seed": seed, **more}
    return _run(workload, card, asked)


def find_frontier(
    workload: Workload | str,
    card: DeviceCard | str | Path,
    thickness_nm: ArrayLike | None = None,
    budgets: Sequence[float] | None = None,
    methods: Sequence[str] = DEFAULT_METHODS,
    seed: int = 0,
    **more: Any,
) -> Sweep:
    """The thinnest oxide for each method and budget or cells, by bisection: no grid, and no more trials than it takes.

    Flips nest over the flip probability, so each curve is bisected with common random numbers; a point is left as soon
    as its interval lies on one side of the target. The last two knots of each curve, and of the ends of its interval,
    are a sixteenth of an octave of the flip probability apart.

    Args:
        workload, card, budgets, methods, seed: as in `sweep`.
        thickness_nm: the range to search, from the smallest to the largest of these; default: the card's sweep range.
        more: `cells`, `margin`, `block`, `target`, `metric`, `half_width`, `max_trials`, `allocation`, `sensitivity`,
            `decode`, `workers`, `executor`, `out`, `figure_format`, `reuse` and `progress` as in `sweep`. A point that
            stays undecided is left when its 95 % interval is +- `half_width` (default 0.01), or after `max_trials`
            drawings (default 320).

    Returns:
        What `sweep` returns; its points are the knots, each curve's own.

    Raises:
        InputError: an argument that cannot be, or that would change nothing, before the workload is loaded; a metric or
            target that does not fit it, after.
        CardError: a card that cannot be read.
        WorkloadError: a network or its data that cannot be used.
        StoreError: a folder or result store that cannot be used.
        CodesignError: workers that cannot start, or a job that ended its worker too often.

    Example:
        >>> import qtaml_codesign as qc
        >>> found = qc.find_frontier("small-cnn", "3nm", budgets=[0.05], methods=["tac"], max_trials=20)
        >>> row = found.frontier().to_frame().iloc[0]
        >>> bool(row.thickness_low_nm < row.thickness_nm < row.thickness_high_nm)
        True
    """
    asked = {"thickness_nm": thickness_nm, "budgets": budgets, "methods": methods, "seed": seed, **more}
    return _run(workload, card, asked, search=True)


@dataclass(frozen=True)
class _Running:
    """How a sweep is run: what does not act on its tables."""

    workers: int | None = None
    executor: Executor | None = None
    out: str | Path | None = None
    reuse: Sequence[str | Path] = ()
    progress: ProgressReport | None = None
    figure_format: str = "png"

    def __post_init__(self) -> None:
        checked_format(self.figure_format)
        whole_number("workers", 1 if self.workers is None else self.workers, least=1)
        if not isinstance(self.executor, Executor | None):
            raise InputError("this is not an executor", where="executor", rule="a concurrent.futures.Executor",
                             value=type(self.executor).__name__,
                             next_step="pass for instance ThreadPoolExecutor(4), or DaskCluster(client)")


_RUNNING = [field.name for field in fields(_Running)]
_OPTIONS = [name for name in signature(sweep_options).parameters if name not in ("card", "search")]
_SEARCHED = [name for name in _OPTIONS if name not in ("trials", "interpolate", "refine")]


def _run(
    workload: Workload | str, card: DeviceCard | str | Path, asked: Mapping[str, Any], search: bool = False
) -> Sweep:
    """Check everything that was asked, before the workload is loaded; then measure, and write where it was asked to."""
    known = _SEARCHED if search else _OPTIONS
    _check_names("find_frontier" if search else "sweep", asked, [*known, *_RUNNING])
    running = _Running(**{name: asked[name] for name in _RUNNING if name in asked})
    device = as_card(card)
    options = sweep_options(device, search=search, **{name: asked[name] for name in known if name in asked})
    flip_probability(device, options.thickness_nm)  # refuses what lies outside the card's validity
    lenders = [lender(place) for place in running.reuse]
    with nullcontext() if running.out is None else result_folder(running.out) as folder:
        result = _measured(load_workload(workload), device, options, running, folder, lenders)
        if folder is not None:
            result.save(folder, running.figure_format)
        return result


def _measured(
    network: Workload, card: DeviceCard, options: SweepOptions, running: _Running, folder: Path | None,
    lenders: Sequence[Lender],
) -> Sweep:
    network = network if options.metric is None else network.with_metric(options.metric)
    notes = [*check_evaluation(network, options.target or network.metric.usual_target)]
    notes += [ONE_CHIP] if card.resolve().keeps_rate else []
    options = options.measuring(network.metric, network.clean_value)
    options = options.deciding() if options.rows == "knots" else options
    progress = Progress(running.progress)
    workers = Workers(network, running.workers, running.executor)
    if folder is not None:
        _tell_what_moves(folder, options_record(card, network.digest, options), progress)
    with ResultStore(None if folder is None else folder / STORE_NAME, lenders) as store, workers, single_threaded():
        measurement = Measurement(network, options, workers, store, progress, notes=notes)
        before = store.count_trials()
        if running.progress is not None:
            _preview(measurement, card)
        rows, counts = measure_rows(measurement, card), measurement.counts
        told = [*rows.warnings, *measurement.notes, *store.notes, *measurement.near_clean(rows.points), *workers.notes]
        return Sweep(
            points=rows.points, knots=rows.knots, card=card, options=options, workload_name=network.name,
            workload_digest=network.digest, exposure=network.exposure,
            clean_interval=network.scoring.clean_interval(options.stopping.confidence), samples=network.samples,
            counts=TrialCounts.total([counts[key] for key in sorted(counts)]),
            tasks=len(counts), new_trials=store.count_trials() - before - store.borrowed_trials,
            borrowed_trials=store.borrowed_trials, warnings=tuple(dict.fromkeys(told)),
        )


def _check_names(function: str, asked: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in asked:
        if name not in known:
            raise InputError(f"{function} has no such argument", where=f"{function}({name}=...)",
                             rule="the arguments that its documentation names", value=name,
                             next_step=did_you_mean(name, known))


def _tell_what_moves(folder: Path, wanted: Mapping[str, Any], progress: Progress) -> None:
    standing = standing_options(folder)
    if standing is not None and standing != wanted:
        progress.tell(SweepProgress("plans", 0, 0, note=(
            f"the tables in {folder} were made with other options ({', '.join(differences(standing, wanted))}); "
            f"they go to {earlier_folder(folder, standing)} when the new ones are written"
        )))


def _preview(measurement: Measurement, card: DeviceCard) -> None:
    """A first answer for whoever listens; a small network gives it here, before the workers have even started.

    Of its progress only calibration and codes are told: they are those of the curves, and may take long.
    """
    network, tell = measurement.network, measurement.progress.tell
    small = sum(weight.size for weight in network.weights.values()) <= SMALL
    workers = Workers(network) if small else measurement.workers
    calibrating = Progress(lambda state: tell(state) if state.stage in LONG else None)
    tell(SweepProgress(FIRST, 0, 0))
    answer = first_answer(replace(measurement, workers=workers, progress=calibrating, counts={}, notes=[]), card)
    tell(SweepProgress(FIRST, 1, 1, answer=answer))
