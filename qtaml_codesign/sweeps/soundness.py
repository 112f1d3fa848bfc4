"""Can this evaluation set answer the question of a sweep? Refused where it cannot, before any trial."""

from __future__ import annotations

import math

from qtaml_codesign.errors import InputError, WorkloadError
from qtaml_codesign.nets.workload import Workload

LEAST_ROOM = 1.0
ENOUGH_ROOM = 3.0


def check_evaluation(network: Workload, target: float) -> tuple[str, ...]:
    """Warnings about the evaluation set; an error where no answer would mean anything.

    Refused: a clean accuracy that is not above chance, and fewer than one sample between the clean accuracy and the
    target, (1 - target) x right answers < 1.

    Example:
        >>> from qtaml_codesign.nets.loading import load_workload
        >>> check_evaluation(load_workload("small-cnn"), target=0.95)
        ()
    """
    check = network.clean_check
    if check.problem is not None:
        raise WorkloadError(
            check.problem, where=f"workload {network.name!r}",
            rule="more right answers than chance gives, by a one-sided exact binomial test at 99 %",
            value=f"{check.correct} of {check.samples} right", next_step=check.advice,
        )
    room = round((1.0 - target) * check.correct, 9)
    if room < LEAST_ROOM:
        raise _no_room(check.correct, target, room)
    notes = list(network.warnings)
    if room < ENOUGH_ROOM:
        notes.append(f"only {room:.3g} evaluation samples lie between the clean accuracy and the target; "
                     f"{ENOUGH_ROOM:g} or more tell them apart")
    if check.commonest >= target * network.clean_accuracy:
        notes.append(f"a network that always gives the commonest label, {check.commonest:.4f} of all, keeps the target "
                     f"{target * network.clean_accuracy:.4f}: balance the evaluation set, or raise the target")
    return tuple(notes)


def _no_room(correct: int, target: float, room: float) -> InputError:
    more = f"give evaluation samples with {math.ceil(ENOUGH_ROOM / (1.0 - target))} or more right answers" \
        if target < 1.0 else "choose a target below 1"
    return InputError(
        "the target cannot be told from the clean accuracy", where="target (--target), evaluation samples",
        rule="(1 - target) x right answers of the clean network >= 1 sample",
        value=f"(1 - {target:g}) x {correct} = {room:.3g}", next_step=f"{more}, or a lower target",
    )
