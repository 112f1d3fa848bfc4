"""Which shapes of a barrier a card can name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from qtaml_codesign.barriers.barrier import Barrier
from qtaml_codesign.barriers.image_force import ImageForce
from qtaml_codesign.barriers.profile import Profile
from qtaml_codesign.barriers.rectangular import Rectangular
from qtaml_codesign.barriers.stack import Stack
from qtaml_codesign.barriers.trapezoidal import Trapezoidal
from qtaml_codesign.barriers.two_band import TwoBand
from qtaml_codesign.checks import one_of
from qtaml_codesign.errors import InputError, did_you_mean

BARRIERS: dict[str, type[Barrier]] = {
    "rectangular": Rectangular, "trapezoidal": Trapezoidal, "stack": Stack, "image_force": ImageForce,
    "two_band": TwoBand, "profile": Profile,
}
"""Shape of a barrier by the `model` of a card."""


def register_barrier(model: str, shape: type[Barrier]) -> None:
    """Let cards say `barrier: {model: MODEL, ...}` for a shape of one's own, in this process.

    Args:
        model: name on the card; not one that another shape has.
        shape: a final dataclass, see `Barrier`.

    Raises:
        InputError: the name is taken, or the class lacks a method or the bounds of a number.

    Example:
        >>> register_barrier("rectangular", Rectangular)  # the same again changes nothing
    """
    if BARRIERS.get(model, shape) is not shape:
        raise _refused("the name of the barrier is taken", "a new name", model, f"taken: {', '.join(BARRIERS)}")
    if inspect.isabstract(shape) or {*inspect.signature(shape).parameters} != {*shape.numbers, *shape.lists}:
        raise _refused("the shape of the barrier is not complete", "a dataclass with every method of `Barrier`, whose "
                       "`numbers` (and `lists`) name its fields", shape.__name__, "see barriers.rectangular for one")
    BARRIERS[model] = shape


def make_barrier(model: str, values: Mapping[str, Any]) -> Barrier:
    """The barrier of a shape with these numbers.

    Args:
        model: name of the shape, one of `BARRIERS`.
        values: its numbers by name, in the units of the names, and its lists as a card gives them.

    Raises:
        InputError: an unknown shape, a number that is missing or not one of the shape, or numbers that contradict each
            other; `where` is `model`, or the number.

    Example:
        >>> make_barrier("rectangular", {"height_eV": 3.1, "electron_energy_eV": 0.05, "effective_mass_m0": 0.4})
        Rectangular(height_eV=3.1, electron_energy_eV=0.05, effective_mass_m0=0.4)
    """
    shape = BARRIERS[one_of("shape of a barrier", "model", model, BARRIERS)]
    for name, value in values.items():
        if name not in shape.numbers and name not in shape.lists:
            known = {**shape.numbers, **shape.lists}
            raise InputError(f"{name} is no number of a {model} barrier", where=name, rule="a number of the shape",
                             value=value, next_step=shape.mistaken.get(name) or did_you_mean(name, known))
    for name, field in inspect.signature(shape).parameters.items():
        if name not in values and field.default is field.empty:
            raise InputError(f"{name} is missing", where=name, rule=f"a required key of a {model} barrier",
                             value="nothing", next_step=f"add `{name}:` to the barrier")
    return shape(**{name: shape.lists[name](value) if name in shape.lists else value
                    for name, value in values.items()})


def _refused(what: str, rule: str, value: str, next_step: str) -> InputError:
    return InputError(what, where="register_barrier", rule=rule, value=value, next_step=next_step)
