"""What several commands read from their options in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtaml_codesign.checks import probabilities
from qtaml_codesign.errors import InputError

if TYPE_CHECKING:
    from qtaml_codesign.nets.workload import Workload
    from qtaml_codesign.physics.flip import FlipProbability


def network_input(workload: str, data: str | None) -> Workload | str:
    """The workload that the options stand for; one that has data of its own is loaded by whoever uses it.

    Args:
        workload: `--workload`.
        data: `--data`, if any.

    Raises:
        WorkloadError: the network or its data cannot be used.
    """
    if data is None:
        return workload
    from qtaml_codesign.nets.loading import load_workload

    return load_workload(workload, data)


def flip_input(
    flip_probability: str | None, device: str | None, changed: list[str] | None
) -> float | FlipProbability:
    """The flip probability that the options stand for.

    Args:
        flip_probability: `--flip-probability P`.
        device: `--device CARD`; exactly one of the two is given.
        changed: `--set FIELD=VALUE`, which comes with a card.

    Raises:
        InputError: both, neither, fields of no card, or a number outside [0, 1].
        CardError: the card cannot be used.
    """
    if (flip_probability is None) == (device is None):
        raise InputError("give the flip probability once", where="--flip-probability, --device",
                         rule="exactly one of the two", value="both" if device is not None else "neither",
                         next_step="for instance --flip-probability 0.1, or --device 3nm")
    if device is not None:
        from qtaml_codesign.cards import load_card, with_settings
        from qtaml_codesign.physics.flip import flip_probability as of_card

        return of_card(with_settings(load_card(device), changed or []))
    if changed:
        raise InputError("there is no card to change", where="--set", rule="--set comes with --device",
                         value=changed[0], next_step="name a card with --device, or leave --set out")
    from qtaml_codesign.commands.ranges import parse_fraction

    return float(probabilities("flip_probability", parse_fraction(str(flip_probability), "--flip-probability")))


def tell_extremes(flips: float | FlipProbability) -> None:
    """A line where no bit can flip, or where what is read says nothing.

    Args:
        flips: a number, or those of a card.
    """
    import sys

    from qtaml_codesign.commands.show import power_of_ten, say

    most = flips if isinstance(flips, float) else max(float(planes.max()) for planes in flips.by_region.values())
    if most >= 0.5:
        say(f"warning: bits flip with probability {most:.6g}, which is 0.5 or more: what is read says nothing",
            sys.stderr)
    if most == 0.0:
        below = "" if isinstance(flips, float) else f"; the flip probability of card {flips.card_name}, " \
            f"{power_of_ten(float(flips.log10_probability))}, is below the smallest float64"
        say(f"note: no flips: quantisation alone, of the weights as the plan writes them{below}", sys.stderr)
