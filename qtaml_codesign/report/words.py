"""How the numbers of a sweep are written: labels, percentages, thicknesses with their intervals, lines of progress."""

from __future__ import annotations

import math

import pandas as pd

from qtaml_codesign.frontier import AT_OR_BELOW, BEYOND
from qtaml_codesign.sweeps.progress import FirstAnswer, Settled
from qtaml_codesign.sweeps.result import Sweep
from qtaml_codesign.tac.choices import Choice
from qtaml_codesign.tac.methods import method_label


def answer_line(answer: FirstAnswer) -> str:
    """The first answer of a sweep in words, while its curves are still being measured.

    Args:
        answer: thickness in nm, and its interval.
    """
    row = pd.Series({"thickness_nm": answer.thickness_nm, "thickness_low_nm": answer.low_nm,
                     "thickness_high_nm": answer.high_nm, "flip_probability": answer.flip_probability,
                     "status": answer.status, "image_low_nm": math.nan, "image_high_nm": math.nan})
    oxide, _, chance = oxide_cells(row, answer.range_nm)
    choice = Choice(answer.method, answer.budget, answer.cells)
    told = f"first answer: {method_label(answer.method)} at {choice.spent}{' per weight' if answer.cells else ' ECC'}"
    if answer.status == BEYOND:
        return f"{told} does not keep {answer.target} up to {answer.range_nm[1]:g} nm; the curves follow"
    return f"{told} keeps {answer.target} down to {oxide} nm, p = {chance}; the curves follow"


def settled_line(settled: Settled) -> str:
    """One point whose trials are done, in words.

    Args:
        settled: the point.
    """
    oxide = "" if math.isnan(settled.thickness_nm) else f"{settled.thickness_nm:.4f} nm, "
    estimate, low, high = map(settled.metric.text, settled.found)
    spent = Choice(settled.method, settled.budget, settled.cells).spent
    return (f"settled: {method_label(settled.method)} {spent}, {oxide}"
            f"p = {scientific(settled.flip_probability)}: {settled.metric.name} {estimate} [{low}, {high}], "
            f"{settled.trials} trials")


def counted(number: int, thing: str, plural: str = "s") -> str:
    """How many there are of a thing.

    Args:
        number: how many.
        thing: the word for one.
        plural: what it ends in where there is not one.

    Example:
        >>> counted(1, "task"), counted(2, "thickness", "es")
        ('1 task', '2 thicknesses')
    """
    return f"{number} {thing}{'' if number == 1 else plural}"


def percent(fraction: float) -> str:
    """A fraction in per cent, without the sign."""
    return f"{100.0 * fraction:.4g}"


def scientific(chance: float) -> str:
    """A chance with three digits, in powers of ten below 0.001."""
    return f"{chance:.2e}" if chance < 0.001 else f"{chance:.3g}"


def ends_nm(sweep: Sweep) -> tuple[float, float]:
    """The thinnest and the thickest oxide of the table of a sweep, in nm."""
    return float(sweep.grid_nm[0]), float(sweep.grid_nm[-1])


def decimals(ends: tuple[float, float]) -> int:
    """Decimals of a thickness in nm: 1 pm, or finer where the whole grid spans only a few picometres.

    Args:
        ends: of the grid, in nm.
    """
    span = ends[1] - ends[0]
    return max(3, round(2.5 - math.log10(span))) if span > 0.0 else 3


def oxide_cells(row: pd.Series, ends: tuple[float, float]) -> tuple[str, ...]:
    """Thickness with its interval, the interval over images, and p there; an end of the grid where the answer lies
    outside.

    Args:
        row: of `frontier.csv`.
        ends: of the grid, in nm.
    """
    digits = f".{decimals(ends)}f"
    if row.status == BEYOND:
        return f"> {ends[1]:{digits}}", "-", "-"
    drawings = _between(row.thickness_low_nm, row.thickness_high_nm, digits)
    images, chance = _between(row.image_low_nm, row.image_high_nm, digits), scientific(row.flip_probability)
    if row.status != AT_OR_BELOW:
        return f"{row.thickness_nm:{digits}} {drawings}", images, chance
    oxide = f"<= {ends[0]:{digits}}" + ("" if row.thickness_high_nm <= row.thickness_nm else f" {drawings}")
    return oxide, "-" if row.image_high_nm <= row.thickness_nm else images, chance


def _between(low_nm: float, high_nm: float, digits: str) -> str:
    low = "<" if math.isnan(low_nm) else f"{low_nm:{digits}}"
    high = ">" if math.isnan(high_nm) else f"{high_nm:{digits}}"
    return f"[{low},{high}]"
