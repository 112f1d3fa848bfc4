"""Ideal protection: the top bit planes of a tensor never flip; what that costs is counted in protected bits."""

from __future__ import annotations

from collections.abc import Mapping

from qtaml_codesign.bits.profile import RegionErrors
from qtaml_codesign.errors import InputError, did_you_mean


def protect(errors: Mapping[str, RegionErrors], depths: Mapping[str, int]) -> dict[str, RegionErrors]:
    """Rates of each tensor after its top planes are protected ideally: their residual rate is zero.

    Args:
        errors: rates by tensor name, as `BitErrorProfile.assign` gives them.
        depths: protected planes from the MSB down by tensor name, 0 to B; a tensor left out keeps its rates.

    Example:
        >>> from qtaml_codesign.bits.profile import BitErrorProfile
        >>> errors = BitErrorProfile.uniform(0.1).assign(["fc.weight"])
        >>> protect(errors, {"fc.weight": 6})["fc.weight"].loss.tolist()
        [0.1, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    for name in depths:
        _known(name, errors)
    return {name: region.protect(depths.get(name, 0)) for name, region in errors.items()}


def overhead(sizes: Mapping[str, int], depths: Mapping[str, int], bits: Mapping[str, int]) -> float:
    """Protected-bit fraction sum_l n_l k_l / sum_l n_l B_l, 0 to 1: the storage overhead the paper reports.

    It counts protected bits, not extra cells; the extra cells that a real code needs for them at flip probability p
    are at least `limits.extra_cells_per_protected_bit(p)` times as many.

    Args:
        sizes: weights n_l by tensor name.
        depths: protected planes k_l by tensor name, 0 to B_l; 0 for a tensor left out.
        bits: stored bits per weight B_l by tensor name.

    Source: arXiv 2606.00741, section 4 ("ECC overhead").

    Example:
        >>> overhead({"a": 100, "b": 300}, {"a": 8, "b": 0}, {"a": 8, "b": 8})
        0.25
    """
    for name, depth in depths.items():
        _known(name, sizes)
        if not 0 <= depth <= bits[name]:
            raise InputError(
                "more planes are protected than are stored", where=f"depths[{name!r}]",
                rule=f"0 <= depth <= {bits[name]}",
                value=depth, next_step="give each tensor a depth between 0 and its bit count",
            )
    stored = sum(size * bits[name] for name, size in sizes.items())
    if stored == 0:
        raise InputError(
            "no bit is stored, so an overhead has no meaning", where="sizes", rule="at least one weight",
            value=dict(sizes),
            next_step="give the weights per tensor",
        )
    return sum(sizes[name] * depth for name, depth in depths.items()) / stored


def _known(name: str, tensors: Mapping[str, object]) -> None:
    if name not in tensors:
        raise InputError(
            f"no stored tensor is called {name!r}", where="depths", rule="names of stored tensors", value=name,
            next_step=did_you_mean(name, tensors),
        )
