"""What a page says of a run: plain values, all words and numbers, no markup."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from qtaml_codesign.frontier import AT_OR_BELOW, BEYOND, CROSSING
from qtaml_codesign.physics.corners import Corner
from qtaml_codesign.physics.effect_validity import acting
from qtaml_codesign.physics.flip import flip_probability
from qtaml_codesign.physics.portable import portable_flips
from qtaml_codesign.plots.style import looks, typeset
from qtaml_codesign.report.card_words import card_rows
from qtaml_codesign.report.notes import limit_notes, merged, range_notes, spending_notes
from qtaml_codesign.report.runs import FinishedRun, FoundPlan
from qtaml_codesign.report.words import decimals, oxide_cells, percent, scientific
from qtaml_codesign.sweeps.result import has_cells_apart
from qtaml_codesign.tac.choices import Choice, choice_of, curve_columns
from qtaml_codesign.tac.layers import LayerPlan
from qtaml_codesign.tac.methods import method_label

ASSUMPTIONS = (
    "No published value fixes a flip probability to better than an order of magnitude: trust differences and trends, "
    "and calibrate the card before its absolute thickness.",
    "A protected bit is an idealisation: it never flips. A real code takes cells of its own and leaves some errors.",
    "The intervals hold drawings of the flips, or evaluation samples; neither holds the card's own uncertainty, nor "
    "another training of the network.",
    "Between measured points the curves are straight lines over the thickness.",
)
APART = ("Regions or bit planes of this card have cells of their own. The sliders move the base cell; at another "
         "window than the card's the other cells do not follow it, and no value of the network is shown there.")


def contents(run: FinishedRun) -> dict[str, Any]:
    """Everything that the page says and draws of one run, as values that survive JSON.

    Args:
        run: a finished run.

    Raises:
        InputError: a card without a flip probability over the run's thicknesses.
    """
    low, high = run.ends_nm
    clean, threshold = run.clean, run.target.value(run.clean[0])
    return {
        "card_name": run.card.name,
        "answer": answer(run), "facts": _facts(run), "metric": run.metric, "target": typeset(run.target),
        "threshold": threshold, "clean": clean[0], "larger_is_better": threshold <= clean[0],
        "confidence": run.record["confidence"], "window_s": run.card.window_s, "ends_nm": [low, high],
        "decimals": decimals((low, high)), "apart": has_cells_apart(run.card),
        "flips": portable_flips(run.card, low, high).to_json(), "curves": [*_curves(run)],
        "answers": [*_answers(run)], "plans": [_plan(found) for found in run.plans],
        "card": [[str(part) if isinstance(part, str) else _plain(part) for part in row] for row in card_rows(run.card)],
        "description": run.card.description, "sources": run.card.sources, "ranges": _ranges(run),
        "limits": [*_limits(run)], "command": run.record["command"], "folder": str(run.folder),
        "versions": run.record["versions"], "workload_digest": run.record["workload"]["digest"],
    }


def answer(run: FinishedRun) -> str:
    """The answer of a run in one or two sentences, with its interval.

    Args:
        run: a finished run.
    """
    rows = run.frontier[run.frontier["method"] == run.frontier["method"].iloc[0]]
    best = min((row for _, row in rows.iterrows()), key=_rank)
    told = f"{_spending(best)}, {run.record['workload']['name']} {_keeps(best, run)}."
    least = min((row for _, row in rows.iterrows()), key=lambda row: choice_of(row).amount)
    if choice_of(least) != choice_of(best):
        told += f" {_begun(_spending(least))} it {_keeps(least, run, brief=True)}."
    return _begun(told)


def kept(run: FinishedRun) -> str:
    """What a run looks for, in words.

    Args:
        run: a finished run.
    """
    return run.target.of(run.metric).replace(" x ", " × ")


def _begun(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def _rank(row: pd.Series) -> tuple[int, float]:
    """The thinnest crossing first; then what keeps the target everywhere for least; then what keeps it nowhere."""
    status = str(row["status"])
    order = (CROSSING, AT_OR_BELOW, BEYOND).index(status)
    return order, float(row["thickness_nm"]) if status == CROSSING else choice_of(row).amount


def _spending(row: pd.Series) -> str:
    choice, label = choice_of(row), method_label(str(row["method"]))
    if choice.spends_cells:
        return f"in {choice.amount:g} cells per weight ({label})"
    if float(row["overhead"]) == 0.0:
        return f"with no bit protected ({label})"
    return f"with {percent(float(row['overhead']))} % of its stored bits protected ({label})"


def _keeps(row: pd.Series, run: FinishedRun, brief: bool = False) -> str:
    what, (low, high) = kept(run), run.ends_nm
    digits, level = f".{decimals(run.ends_nm)}f", f"{run.record['confidence']:.0%}"
    if row["status"] == BEYOND:
        return f"does not keep {what} at any thickness up to {high:{digits}} nm"
    if row["status"] == AT_OR_BELOW:
        return f"keeps {what} at every thickness measured, down to {low:{digits}} nm"
    nm, images, chance = oxide_cells(row, run.ends_nm)
    thick, _, drawings = nm.partition(" ")
    if brief:
        return f"needs {thick} nm {drawings}"
    over = f", over evaluation samples {images}" if images != "-" else ""
    return (f"keeps {what} down to {thick} nm of oxide ({level} interval over drawings of the flips {drawings}{over}), "
            f"where a bit flips with p = {chance}")


def _facts(run: FinishedRun) -> list[list[str]]:
    record, (value, low, high) = run.record, run.clean
    trials = run.measured["trials"]
    few, many = int(trials.min()), int(trials.max())
    each = f"{few}" if few == many else f"{few} to {many}"
    level = f"{record['confidence']:.0%}"
    return [
        [f"clean {run.metric}", f"{value:.4g} [{low:.4g}, {high:.4g}], {level} over samples"],
        ["target", f"{typeset(run.target)} = {run.target.value(value):.4g}" if run.target.factor else str(run.target)],
        ["trials", f"{record['trials']}, {each} per measured point"],
        ["evaluation samples", str(record["workload"]["samples"])],
        ["inference window of the card", f"{run.card.window_s:.3g} s"], ["seed", str(record["seed"])],
    ]


def _curves(run: FinishedRun) -> Iterable[dict[str, Any]]:
    styles, names = looks(run.points), ["thickness_nm", "flip_probability", run.column, f"{run.column}_low",
                                        f"{run.column}_high", "trials"]
    order = {method: place for place, method in enumerate(styles)}
    for _, rows in run.measured.groupby(curve_columns(run.measured.columns), sort=False):
        choice = choice_of(rows.iloc[0])
        told = rows.sort_values("thickness_nm").drop_duplicates("thickness_nm")
        columns = {name: [_plain(value) for value in told[column]] for name, column in
                   zip(("nm", "p", "value", "low", "high", "trials"), names, strict=True)}
        yield {**_choice(choice), "colour": styles[choice.method].colour, "style": order[choice.method],
               "points": columns}


def _choice(choice: Choice) -> dict[str, Any]:
    return {"method": choice.method, "label": method_label(choice.method), "cells": choice.spends_cells,
            "amount": choice.amount, "spent": choice.spent}


def _answers(run: FinishedRun) -> Iterable[dict[str, Any]]:
    for _, row in run.frontier.iterrows():
        nm, images, chance = oxide_cells(row, run.ends_nm)
        yield {**_choice(choice_of(row)), "overhead": _plain(row["overhead"]), "status": row["status"],
               "nm": _plain(row["thickness_nm"]), "low": _plain(row["thickness_low_nm"]),
               "high": _plain(row["thickness_high_nm"]), "p": _plain(row["flip_probability"]),
               "text": [nm, images, chance, percent(float(row["overhead"]))]}


def _plan(found: FoundPlan) -> dict[str, Any]:
    return {**_choice(found.choice), "nm": found.thickness_nm, "p": scientific(found.flip_probability),
            "overhead": percent(found.plan.overhead), "cells_per_weight": f"{found.plan.cells_per_weight:.4g}",
            "saturation": None if found.plan.rho_star is None else f"{found.plan.rho_star:.3g}",
            "layers": [_layer(layer) for layer in found.plan.layers]}


def _layer(layer: Any) -> dict[str, Any]:
    """What is decided for one tensor: planes of those that have any, else the store in words."""
    told = {"name": layer.name, "weights": layer.weights, "gain": layer.jacobian_gain, "score": layer.score}
    if not isinstance(layer, LayerPlan):
        return told | {"store": f"{layer.codec.cells:.4g} cells: {layer.codec.summary}"}
    planes = layer.planes or tuple(range(layer.bits - layer.depth, layer.bits))
    return told | {"bits": layer.bits, "depth": layer.depth, "planes": list(planes), "deeper": layer.deeper,
                   "corrected": layer.corrected, "scale": layer.scale}


def _ranges(run: FinishedRun) -> list[list[str]]:
    """Where each answer lies at the ends of the card's own ranges, one field at a time."""
    digits = f".{decimals(run.ends_nm)}f"
    return [[method_label(found["method"]), Choice(found["method"], found["budget"], found.get("cells")).spent,
             f"{found['thickness_nm']:{digits}}", one.field, f"{one.low:.4g} to {one.high:.4g}",
             " to ".join(f"{end:{digits}}" for end in one.ends_nm) or "none inside the card's validity"]
            for found in run.record.get("card_ranges", []) for one in (Corner(**corner) for corner in found["corners"])]


def _limits(run: FinishedRun) -> Iterable[str]:
    card = run.card
    effects = acting(card.resolve())
    yield ("Switched on by the card, beside N electrons behind one barrier: " + ", ".join(effects) + "." if effects else
           "Every cell has the same oxide and the same number of electrons, which leave independently, through a "
           "barrier that does not change; no traps, no spread from cell to cell.")
    yield from ASSUMPTIONS
    yield f"Intervals over trials: {run.record['interval']}."
    if has_cells_apart(card):
        yield APART
    yield from map(_begun, flip_probability(card).warnings)
    notes = (*merged(tuple(run.record["warnings"])), *spending_notes(run.frontier), *range_notes(card),
             *limit_notes(run.frontier, card))
    yield from map(_begun, notes)


def _plain(value: Any) -> Any:
    """A number that JSON knows; None for NaN and infinities."""
    if isinstance(value, bool | str | list) or value is None:
        return value
    number = value.item() if hasattr(value, "item") else value
    return number if math.isfinite(number) else None


def summary(run: FinishedRun) -> list[str]:
    """One row of the table that sets runs side by side, after its title.

    Args:
        run: a finished run.

    """
    rows = [row for _, row in run.frontier.iterrows()]
    best = min(rows, key=_rank)
    return [kept(run),
            oxide_cells(best, run.ends_nm)[0], f"{choice_of(best).spent}, {method_label(str(best['method']))}",
            str(run.record["trials"])]


COMPARED = ("run", "keeps", "thinnest oxide (nm)", "spending", "trials")

