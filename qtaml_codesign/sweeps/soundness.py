"""Can this evaluation set answer the question of a sweep? Refused where it cannot, before any trial."""

from __future__ import annotations

import math

from qtaml_codesign.errors import InputError, WorkloadError
from qtaml_codesign.nets.target import Target
from qtaml_codesign.nets.workload import Workload

LEAST_ROOM = 1.0
ENOUGH_ROOM = 3.0
FAR_MULTIPLE = 2.0
"""Where smaller is better, a larger multiple of the clean value may have been meant as a value of its own."""


def check_evaluation(network: Workload, target: Target) -> tuple[str, ...]:
    """Warnings about the evaluation set; an error where no answer would mean anything.

    Args:
        network: with its metric.
        target: what a sweep is to keep.

    Refused: an accuracy of the clean network that is not above chance; a target that is better than the clean network,
    or as good; and fewer than one sample between the two where samples are right or wrong.

    Raises:
        WorkloadError, InputError: as above.

    Example:
        >>> from qtaml_codesign.nets.loading import load_workload
        >>> check_evaluation(load_workload("small-cnn"), Target(0.95))
        ()
    """
    check, clean, name = network.scoring.clean_check, network.clean_value, network.metric.name
    if check is not None and check.problem is not None:
        raise WorkloadError(
            check.problem, where=f"workload {network.name!r}",
            rule="more right answers than chance gives, by a one-sided exact binomial test at 99 %",
            value=f"{check.correct} of {check.samples} right", next_step=check.advice,
        )
    network.metric.check_target(target, clean, strictly=not network.scoring.is_counted)
    threshold, notes = target.value(clean), list(network.warnings)
    if not network.metric.larger_is_better and target.factor > FAR_MULTIPLE and not target.offset:
        notes.append(f"the target is {target.factor:g} x the clean {name}, {threshold:.6g}: a bare number is a "
                     f"multiple of the clean value; a value of its own is written '= {target.factor:g}'")
    room = network.metric.margin(clean, threshold)
    if network.scoring.is_counted:
        samples = round(room * network.samples, 9)
        if samples < LEAST_ROOM:
            raise _no_room(network, threshold, samples)
        if samples < ENOUGH_ROOM:
            notes.append(f"only {samples:.3g} evaluation samples lie between the clean {name} and the target; "
                         f"{ENOUGH_ROOM:g} or more tell them apart")
    if check is not None and check.commonest >= threshold:
        notes.append(f"a network that always gives the commonest label, {check.commonest:.4f} of all, keeps the target "
                     f"{threshold:.4f}: balance the evaluation set, or raise the target")
    return tuple(notes)


def _no_room(network: Workload, threshold: float, room: float) -> InputError:
    more = f"choose a worse one, for instance {network.metric.usual_target.plain}"
    if room > 0.0:
        wanted = math.ceil(round(ENOUGH_ROOM / room * network.samples, 6))
        more = f"give {wanted} or more evaluation samples, or a looser target"
    return InputError(
        f"the target cannot be told from the clean {network.metric.name}",
        where="target (--target), evaluation samples", rule="|clean - target| x evaluation samples >= 1 sample",
        value=f"|{network.clean_value:.6g} - {threshold:.6g}| x {network.samples} = {room:.3g}", next_step=more,
    )
