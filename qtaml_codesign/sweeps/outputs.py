"""The files of a sweep: written whole or not at all, and the same bytes for the same results."""

from __future__ import annotations

import contextlib
import io
import json
import platform
import shlex
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from qtaml_codesign.errors import StoreError
from qtaml_codesign.plots import save_sweep
from qtaml_codesign.sweeps.ranges import card_ranges
from qtaml_codesign.sweeps.task import ENGINE_VERSION, content_digest

if TYPE_CHECKING:
    from qtaml_codesign.sweeps.result import Sweep

RECORD = "run.json"
TABLES = ("sweep.csv", "knots.csv", "frontier.csv", "frontier.png", RECORD)
_PACKAGES = ("qtaml-codesign", "numpy", "scipy", "numba", "torch", "pandas", "matplotlib")
_UNITS = (
    "thickness_nm in nm; flip_probability per bit and inference window; overhead and budget in 0..1; "
    "overhead = protected bits / stored bits; nominal_ber and realised_ber = expected and counted flips per exposed bit"
)


def writable_folder(folder: str | Path) -> Path:
    """The folder, made if missing, once a file could really be written there."""
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as failure:
        taken = path.exists() and not path.is_dir()
        raise StoreError(
            "the folder for the results cannot be used", where=f"{path} (--out)",
            rule="a folder that can be written to, or a name for a new one",
            value="a file of that name exists" if taken else failure.strerror or failure,
            next_step="choose another folder with --out",
        ) from failure
    return path


def standing_options(folder: Path) -> dict[str, Any] | None:
    """The options of the run whose tables stand in a folder; None where none stand there.

    Tables of a version that did not record them, and those of a `run.json` that cannot be read, have options of their
    own: the digest of what is there.
    """
    try:
        text = (folder / RECORD).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
        found = json.loads(text)["options"]
        if isinstance(found, dict):
            return found
    return {"record": content_digest({"text": text})}


def earlier_folder(folder: Path, options: Mapping[str, Any]) -> Path:
    """Where the tables of other options are kept: earlier/ and the first digits of the digest of those options."""
    return folder / "earlier" / content_digest(dict(options))[:8]


def keep_earlier(folder: Path, options: Mapping[str, Any]) -> Path | None:
    """Move the tables of other options out of the way; `run.json`, which names them, goes last. Returns where to."""
    standing = standing_options(folder)
    if standing is None or standing == dict(options):
        return None
    kept = writable_folder(earlier_folder(folder, standing))
    for name in TABLES:
        if (folder / name).exists():
            (folder / name).replace(kept / name)
    return kept


def write_outputs(sweep: Sweep, folder: Path) -> tuple[Path, ...]:
    """Write the files that stand beside the result store, and keep those of other options; returns their paths."""
    keep_earlier(folder, sweep.options)
    if sweep.knots is None:
        (folder / "knots.csv").unlink(missing_ok=True)  # of an earlier sweep, whose other files are replaced too
    frontier = sweep.frontier()
    table = frontier.to_frame()
    title = f"{sweep.card.name} card, {sweep.workload_name}"
    picture = io.BytesIO()
    save_sweep(sweep.to_frame(), table, sweep.settings.wanted, picture, title, metric=sweep.metric,
               window_s=sweep.card.window_s, confidence=sweep.settings.rule.confidence,
               knots=sweep.knots if sweep.interpolated else None, searched=sweep.settings.rule.threshold is not None)
    content = {
        "sweep.csv": csv_text(sweep.to_frame()).encode(),
        **({} if sweep.knots is None else {"knots.csv": csv_text(sweep.knots).encode()}),
        "frontier.csv": csv_text(table).encode(),
        "frontier.png": picture.getvalue(),
        RECORD: (json.dumps(run_record(sweep), indent=1, ensure_ascii=False) + "\n").encode(),
    }
    return tuple(_write_whole(folder / name, text) for name, text in content.items())


def csv_text(table: pd.DataFrame) -> str:
    """CSV with '\\n' line ends and the shortest decimals that read back to the same float64; NaN is empty.

    Example:
        >>> csv_text(pd.DataFrame({"overhead": [0.1, float("nan")]}))
        'overhead\\n0.1\\n""\\n'
    """
    return str(table.to_csv(index=False, lineterminator="\n"))


def run_record(sweep: Sweep) -> dict[str, Any]:
    """What `run.json` holds: enough to know, and to repeat, what was run."""
    settings, clean, metric = sweep.settings, sweep.clean_interval, sweep.metric
    return {
        "command": command_line(),
        "card": sweep.card.model_dump(mode="json"),
        "card_provenance": {
            field: origin.model_dump(mode="json", exclude_none=True) for field, origin in sweep.card.provenance.items()
        },
        "workload": {
            "name": sweep.workload_name, "digest": sweep.workload_digest, "samples": sweep.samples,
            "metric": metric.name, metric.clean_column: clean.estimate, f"{metric.clean_column}_low": clean.low,
            f"{metric.clean_column}_high": clean.high,
            "interval": f"{'Clopper-Pearson' if sweep.counts.is_counted else 'Student'} over evaluation samples",
        },
        "exposure": sweep.exposure.to_json(),
        "seed": settings.seed, "methods": list(settings.methods), "budgets": list(settings.budgets),
        "allocation": settings.allocation, "target": settings.wanted.plain, "thickness_nm": sweep.grid_nm.tolist(),
        "confidence": settings.rule.confidence,
        "stopping": settings.rule.describe(),
        "interval": settings.rule.describe_interval(),
        "image_interval": f"Student over evaluation samples, of {metric.name} - target, paired with the clean network",
        "interpolated": sweep.interpolated,
        "options": dict(sweep.options),
        "card_ranges": [asdict(found) for found in card_ranges(sweep.card, sweep.frontier().to_frame())],
        "tasks": sweep.tasks, "trials": sweep.counts.trials, "warnings": list(sweep.warnings),
        "units": _UNITS, "engine": ENGINE_VERSION, "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the numbers depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def command_line() -> str:
    """The command as typed, with the program's bare name."""
    return shlex.join([Path(sys.argv[0]).name or "python", *sys.argv[1:]])


def _write_whole(path: Path, content: bytes) -> Path:
    """Write beside the target, then rename: a reader sees the old file or the new one, never half of one.

    The draft's name is fixed, so what a killed run leaves behind is overwritten and renamed by the next.
    """
    draft = path.with_name(f".{path.name}.part")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as failure:
        raise StoreError(
            "a result file cannot be written", where=str(path), rule="a writable folder with room left",
            value=failure.strerror or failure, next_step="free some space, or choose another folder with --out",
        ) from failure
    return path
