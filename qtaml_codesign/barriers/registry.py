"""Which shapes of a barrier a card can name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from qtaml_codesign.barriers.barrier import Barrier
from qtaml_codesign.barriers.rectangular import Rectangular
from qtaml_codesign.errors import InputError, did_you_mean

BARRIERS: dict[str, type[Barrier]] = {"rectangular": Rectangular}
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
    if inspect.isabstract(shape) or {*inspect.signature(shape).parameters} != {*shape.numbers}:
        raise _refused("the shape of the barrier is not complete", "a dataclass with every method of `Barrier`, whose "
                       "`numbers` names its fields", shape.__name__, "see barriers.rectangular for one")
    BARRIERS[model] = shape


def make_barrier(model: str, numbers: Mapping[str, float]) -> Barrier:
    """The barrier of a shape with these numbers.

    Args:
        model: name of the shape, one of `BARRIERS`.
        numbers: its numbers by name, in the units of the names.

    Raises:
        InputError: a number that is not one of the shape, or numbers that contradict each other.

    Example:
        >>> make_barrier("rectangular", {"height_eV": 3.1, "electron_energy_eV": 0.05, "effective_mass_m0": 0.4})
        Rectangular(height_eV=3.1, electron_energy_eV=0.05, effective_mass_m0=0.4)
    """
    known = BARRIERS[model].numbers
    for name in numbers:
        if name not in known:
            raise InputError(f"{name} is no number of a {model} barrier", where=name, rule="a number of the shape",
                             value=numbers[name], next_step=did_you_mean(name, known))
    return BARRIERS[model](**numbers)


def _refused(what: str, rule: str, value: str, next_step: str) -> InputError:
    return InputError(what, where="register_barrier", rule=rule, value=value, next_step=next_step)
