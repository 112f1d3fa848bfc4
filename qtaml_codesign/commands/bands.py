"""What a card's own ranges leave open, on the screen: corners, and bands over cards drawn within the ranges."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qtaml_codesign.cards import DeviceCard
    from qtaml_codesign.sweeps.result import Sweep


def print_corners(card: DeviceCard) -> None:
    """A row for each ranged number of the card: its ends, and the flip probability there.

    Args:
        card: the device card.

    Raises:
        InputError: it states no range.
    """
    from qtaml_codesign.commands.show import power_of_ten, print_table, short
    from qtaml_codesign.physics.sampling import corner_table

    rows = [[field, *("" if math.isnan(end) else short(end) for end in (low, high)),
             *(power_of_ten(log / math.log(10.0)) for log in logs)] for field, low, high, *logs in corner_table(card)]
    print_table(("field", "low", "high", "p at low", "p at high"), rows, left=("field",), keys=1,
                title=f"{card.name}: flip probability at the ends of the card's ranges, one field at a time")


def print_band(card: DeviceCard, thickness_nm: object, samples: int) -> None:
    """The flip probability over cards drawn within the ranges, at each thickness.

    Args:
        card: the device card.
        thickness_nm: thicknesses in nm; None: the card's own.
        samples: cards to draw.

    Raises:
        InputError: it states no range.
    """
    import numpy as np

    from qtaml_codesign.commands.show import power_of_ten, print_table, short
    from qtaml_codesign.physics.sampling import flip_band

    points = np.atleast_1d(np.asarray(card.barrier.thickness_nm if thickness_nm is None else thickness_nm, float))
    band = flip_band(card, points, samples=samples)
    rows = [[short(point, 6), *(power_of_ten(log / math.log(10.0)) for log in logs)]
            for point, *logs in zip(points.tolist(), band.low, band.median, band.high, strict=True)]
    print_table(("thickness_nm", "p, 5 %", "median", "95 %"), rows, keys=1,
                title=f"{card.name}: flip probability of {samples} cards drawn within the card's ranges"
                      + _left_out(band.failed))


def _left_out(failed: int) -> str:
    """What a band does not hold."""
    return f"; up to {failed} that give no answer are left out" if failed else ""


def print_thickness_bands(result: Sweep, samples: int, folder: Path) -> None:
    """The thinnest oxide of each crossing over cards drawn within the ranges; written into bands.csv too.

    Args:
        result: of a sweep or a search, all of whose cells are alike.
        samples: cards to draw.
        folder: where bands.csv goes.

    Raises:
        InputError: the card states no range, or its cells differ.
    """
    from qtaml_codesign.commands.files import write_csv
    from qtaml_codesign.commands.show import print_table, say

    bands = result.card_bands(samples)
    rows = [[one.method, f"{one.amount:g}", *(f"{end:.4f}" for end in (one.thickness_nm, *one.ends_nm))]
            for one in bands]
    say("")
    print_table(("method", "budget or cells", "thinnest nm", "5 %", "median", "95 %"), rows, left=("method",), keys=2,
                title=f"Thinnest oxide of {samples} cards drawn within the card's ranges"
                      + _left_out(max((one.failed for one in bands), default=0)))
    columns = ("method", "amount", "thickness_nm", "card_low_nm", "card_median_nm", "card_high_nm", "samples", "failed")
    write_csv(folder / "bands.csv", columns,
              [(one.method, one.amount, one.thickness_nm, *one.ends_nm, one.samples, one.failed) for one in bands],
              "--sample")
    say(f"wrote bands.csv into {folder}")
