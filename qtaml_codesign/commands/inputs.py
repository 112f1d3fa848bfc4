"""What several commands read from their options in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtaml_codesign.errors import InputError

if TYPE_CHECKING:
    from qtaml_codesign.physics.flip import FlipProbability


def flip_input(flip_probability: float | None, device: str | None) -> float | FlipProbability:
    """The flip probability that `--flip-probability P` or `--device CARD` stands for; exactly one must be given."""
    if (flip_probability is None) == (device is None):
        raise InputError(
            "give the flip probability once", where="--flip-probability, --device",
            rule="exactly one of the two", value="both" if device is not None else "neither",
            next_step="for instance --flip-probability 0.1, or --device 3nm",
        )
    if device is not None:
        from qtaml_codesign.cards import load_card
        from qtaml_codesign.physics.flip import flip_probability as of_card

        return of_card(load_card(device))
    assert flip_probability is not None
    return flip_probability
