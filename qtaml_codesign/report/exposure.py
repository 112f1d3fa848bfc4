"""How much of a network the flips can reach, as a line for the screen and plain values for the record."""

from __future__ import annotations

from typing import Any, Protocol


class Exposed(Protocol):
    """What `Workload.exposure` has."""

    @property
    def stored_parameters(self) -> int:
        """Parameters that lie in the tunnelling memory."""

    @property
    def parameters(self) -> int:
        """All parameters and weight buffers."""

    @property
    def share(self) -> float:
        """stored_parameters / parameters."""

    @property
    def unexposed(self) -> tuple[tuple[str, int, str], ...]:
        """Name, count and reason of what lies elsewhere."""


def exposure_text(exposure: Exposed) -> str:
    """The share that lies in the tunnelling memory, and what does not, by reason."""
    share = f"{exposure.share:.2%} of {exposure.parameters} parameters lie in tunnelling cells"
    reasons = dict.fromkeys(why for _, _, why in exposure.unexposed)
    counts = {why: [count for _, count, reason in exposure.unexposed if reason == why] for why in reasons}
    elsewhere = ", ".join(f"{sum(found)} in {len(found)} tensors ({why})" for why, found in counts.items())
    return f"{share}; not exposed: {elsewhere}" if elsewhere else share


def exposure_record(exposure: Exposed) -> dict[str, Any]:
    """The same for `run.json`, every unexposed tensor by name."""
    return {
        "stored_parameters": exposure.stored_parameters, "parameters": exposure.parameters, "share": exposure.share,
        "unexposed": [{"name": name, "count": count, "why": why} for name, count, why in exposure.unexposed],
    }
