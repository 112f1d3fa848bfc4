"""How much of a network the flips can reach, as a line for the screen."""

from __future__ import annotations

from qtaml_codesign.nets.exposure import Exposure


def exposure_text(exposure: Exposure) -> str:
    """The share that lies in the tunnelling memory, and what does not, by reason."""
    share = f"{exposure.share:.2%} of {exposure.parameters} parameters lie in tunnelling cells"
    elsewhere = ", ".join(f"{numbers} in {tensors} tensor{'s' if tensors > 1 else ''} ({why})"
                          for why, (tensors, numbers) in exposure.reasons.items())
    return f"{share}; not exposed: {elsewhere}" if elsewhere else share
