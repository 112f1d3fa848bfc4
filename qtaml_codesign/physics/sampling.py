"""How far a card's own uncertainty reaches: flips at the ends of its ranges, and over cards drawn within them.

A number written `{value, low, high}` is drawn with `value` as its median: with equal chance below and above, and there
evenly in its logarithm between the value and the end (evenly in the number itself where one of them is not above zero).
The numbers are drawn independently of one another. A range says how far a number may be off, not how it is
distributed: bands made so tell orders of magnitude, and which side is the dangerous one.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qtaml_codesign.card_schema.quantities import quantity
from qtaml_codesign.cards import CellParameters, DeviceCard, Provenance, as_card
from qtaml_codesign.checks import whole_number_within
from qtaml_codesign.errors import CardError, InputError
from qtaml_codesign.physics.cell_fields import THICKNESS, is_whole, with_number
from qtaml_codesign.physics.chain import log_flip
from qtaml_codesign.physics.flip import checked_thickness
from qtaml_codesign.physics.inverse import thickness_for

Array = NDArray[np.float64]
CornerRow = tuple[str, float, float, float, float]
MOST_SAMPLES: Final = 100_000
BAND: Final = (0.05, 0.95)
"""Quantiles between which a band lies."""


@dataclass(frozen=True, eq=False)
class CardBand:
    """Quantiles over cards drawn within a card's ranges, each of the shape that was asked for.

    Attributes:
        low, median, high: the quantiles 5 %, 50 % and 95 %.
        samples: cards that were drawn.
        failed: cards that gave no answer, and are left out.
    """

    low: Array
    median: Array
    high: Array
    samples: int
    failed: int = 0


def ranged_fields(card: DeviceCard) -> dict[str, Provenance]:
    """The numbers of the base cell that the card gives a range, by dotted field.

    Args:
        card: the device card.

    Raises:
        InputError: it gives none, or one beyond the bounds of its field.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> card = load_card("3nm").with_field("barrier.effective_mass_m0", {"value": 0.4, "low": 0.38, "high": 0.42})
        >>> list(ranged_fields(card))
        ['barrier.effective_mass_m0']
    """
    found = {field: origin for field, origin in card.provenance.items() if field in card.cell_fields
             and (origin.low is not None or origin.high is not None)}
    if not found:
        raise InputError("the card states no range for any number of its cell", where=f"card {card.name}",
                         rule="one or more numbers written {value: V, low: A, high: B}", value="none",
                         next_step="--set 'barrier.effective_mass_m0={value: 0.4, low: 0.38, high: 0.42}'")
    for field, origin in found.items():
        bounds = quantity(field.rsplit(".", 1)[-1])
        if bounds and not all(bounds.low <= end <= bounds.high for end in (origin.low, origin.high) if end is not None):
            raise InputError("a range reaches beyond what its number can be", where=f"card {card.name}, {field}",
                             rule=f"{bounds.low:g} <= low, high <= {bounds.high:g}", value=(origin.low, origin.high),
                             next_step=f"narrow the range; it is in {bounds.unit}")
    return found


def drawn_numbers(card: DeviceCard, samples: int, seed: int = 0) -> dict[str, Array]:
    """Values of the card's ranged numbers, (samples,) each; those of one field hang on the seed and its name alone.

    Args:
        card: the device card.
        samples: how many.
        seed: key of the drawing.

    Raises:
        InputError: no range, or a number of samples that cannot be.
    """
    count = whole_number_within("samples (--sample)", samples, 1, MOST_SAMPLES, "200 draw a band well enough")
    return {field: _drawn(origin, _uniforms(f"{seed} {field}", count))
            for field, origin in ranged_fields(card).items()}


def flip_band(
    card: DeviceCard | str | Path, thickness_nm: ArrayLike | None = None, *, samples: int = 200, seed: int = 0
) -> CardBand:
    """Band of ln p_flip of the base cell over cards drawn within a card's ranges.

    Args:
        card: the device card, its name, or its path.
        thickness_nm: as in `flip_probability`; a range of the thickness itself moves all of them by the same factor.
        samples: cards to draw.
        seed: key of the drawing.

    Returns:
        Natural logarithms, of the shape of the thicknesses. Numbers drawn that make no cell count as failed.

    Raises:
        InputError: no range, or thicknesses that cannot be.
        CardError: a card that cannot be read.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> card = load_card("3nm").with_field("barrier.effective_mass_m0", {"value": 0.4, "low": 0.38, "high": 0.42})
        >>> band = flip_band(card)
        >>> bool(math.exp(band.low) < 0.03 < 0.0999 < 0.21 < math.exp(band.high))
        True
    """
    device = as_card(card)
    points, base = np.asarray(checked_thickness(device, thickness_nm)[0]), device.resolve()
    return _band(device, lambda cell: log_flip(cell, points * (cell.thickness_nm / base.thickness_nm)), samples, seed)


def thickness_band(
    card: DeviceCard | str | Path, flip_probability: float, *, samples: int = 200, seed: int = 0
) -> CardBand:
    """Band of the oxide thickness in nm with a flip probability, over cards drawn within a card's ranges.

    Args:
        card: the device card, its name, or its path; a range of the thickness itself does not act.
        flip_probability: of the base cell, in (0, 1).
        samples: cards to draw.
        seed: key of the drawing.

    Raises:
        InputError: no range but that of the thickness, or a probability that cannot be.
        CardError: a card that cannot be read.
    """
    device = as_card(card)
    numbers = {field: values for field, values in drawn_numbers(device, samples, seed).items() if field != THICKNESS}
    found = [_thickness(device, {field: values[place] for field, values in numbers.items()}, flip_probability)
             for place in range(samples)]
    return _quantiles(np.array(found))


def corner_table(card: DeviceCard | str | Path) -> list[CornerRow]:
    """Rows (field, low, high, ln p at low, ln p at high) of the base cell, one field at a time; last all at once.

    The last row, "all at once", holds ln p with every field at the end where the bit flips more rarely, and then with
    every field at the other; its low and high are NaN.

    Args:
        card: the device card, its name, or its path.

    Raises:
        InputError: it states no range, or one with an end that makes no cell.
        CardError: a card that cannot be read.
    """
    device = as_card(card)
    base, rows, ends = device.resolve(), list[CornerRow](), list[tuple[str, float, float]]()
    for field, origin in ranged_fields(device).items():
        low, high = (origin.value if end is None else end for end in (origin.low, origin.high))
        at_low, at_high = (_log_flip(with_number(base, field, end)) for end in (low, high))
        rows.append((field, low, high, at_low, at_high))
        ends.append((field, low, high) if at_low <= at_high else (field, high, low))
    safe, bad = base, base
    for field, rare, often in ends:
        safe, bad = with_number(safe, field, rare), with_number(bad, field, often)
    return [*rows, ("all at once", math.nan, math.nan, _log_flip(safe), _log_flip(bad))]


def _log_flip(cell: CellParameters) -> float:
    return float(log_flip(_possible(cell), np.array([cell.thickness_nm]))[0])


def _possible(cell: CellParameters) -> CellParameters:
    """The cell, if its bit can flip at all."""
    if not cell.flip_threshold < cell.electrons:
        raise InputError("numbers within the card's ranges make a bit that can never flip", where="low, high",
                         rule=f"flip_threshold < electrons = {cell.electrons}", value=cell.flip_threshold,
                         next_step="narrow the ranges of cell.electrons and cell.flip_threshold")
    return cell


def _thickness(card: DeviceCard, numbers: dict[str, float], flip_probability: float) -> float:
    values = {field: round(value) if is_whole(field) else float(value) for field, value in numbers.items()}
    try:
        return thickness_for(card.with_fields(values), flip_probability)
    except (CardError, InputError):
        return math.nan


def _band(card: DeviceCard, one: Callable[[CellParameters], Array], samples: int, seed: int) -> CardBand:
    numbers, base, found = drawn_numbers(card, samples, seed), card.resolve(), []
    for place in range(samples):
        try:
            cell = base
            for field, values in numbers.items():
                cell = with_number(cell, field, float(values[place]))
            found.append(one(_possible(cell)))
        except InputError:
            found.append(np.array(math.nan))
    return _quantiles(np.stack(np.broadcast_arrays(*found)))


def _quantiles(values: Array) -> CardBand:
    good = values[np.isfinite(values).reshape(len(values), -1).all(axis=1)]
    if not len(good):
        raise InputError("no card that was drawn gives an answer", where="samples (--sample)",
                         rule="cards that reach the flip probability inside their validity", value=len(values),
                         next_step="narrow the ranges of the card, or widen its validity")
    low, median, high = np.quantile(good, (BAND[0], 0.5, BAND[1]), axis=0)
    return CardBand(low, median, high, len(values), len(values) - len(good))


def _drawn(origin: Provenance, uniforms: Array) -> Array:
    low, high = (origin.value if end is None else end for end in (origin.low, origin.high))
    below, share = uniforms < 0.5, np.abs(2.0 * uniforms - 1.0)
    ends = np.where(below, low, high)
    if min(low, origin.value) > 0.0:
        return np.asarray(origin.value * (ends / origin.value) ** share)
    return np.asarray(origin.value + share * (ends - origin.value))


def _uniforms(key: str, count: int) -> Array:
    digest = hashlib.blake2b(f"card range {key}".encode(), digest_size=16).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32)).random(count)
