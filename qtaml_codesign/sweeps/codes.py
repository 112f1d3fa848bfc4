"""What codes leave of the flips, measured before the plans that ask for it: once for each flip law, and told of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.sweeps.jobs import PlanRequest, know_code
from qtaml_codesign.sweeps.progress import Progress, SweepProgress
from qtaml_codesign.sweeps.workers import Job, Workers
from qtaml_codesign.tac.methods import CODED_METHODS
from qtaml_codesign.tac.ways import MEASURING, laws_folder


def know_codes(
    requests: Iterable[PlanRequest], tensors: Sequence[str], known: set[tuple[CellLaw, float]],
    workers: Workers, progress: Progress,
) -> None:
    """Find the code of each flip law of the plans; what it leaves is kept for them, and for every later run.

    Args:
        requests: the plans that are to be made.
        tensors: names of the stored tensors.
        known: laws and design margins that this run has asked for; these are added.
        workers: where codewords are decoded.
        progress: who is told.
    """
    asked = ((law, request.usable_margin) for request in requests if request.method in CODED_METHODS
             for law in request.profile.assign(tensors).values())
    wanted = dict.fromkeys(one for one in asked if one not in known)
    if not wanted:
        return
    if not known:
        progress.tell(SweepProgress(MEASURING, 0, 0, note=(
            "what error-correcting codes leave of the flips is measured by decoding, up to half a minute for each flip "
            f"probability, where it is not kept in {laws_folder()} yet")))
    known.update(wanted)
    jobs = (Job((place,), know_code, one, f"codes for flips of {one[0].one_to_zero[0]:g} and {one[0].zero_to_one[0]:g}")
            for place, one in enumerate(wanted))
    progress.add(MEASURING, total=len(wanted))
    workers.drain(lambda: next(jobs, None), lambda results: progress.add(MEASURING, done=len(results)))
