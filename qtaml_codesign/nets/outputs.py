"""Which tensor of what a module returns is measured, and the form that it must have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from qtaml_codesign.errors import WorkloadError
from qtaml_codesign.nets.inputs import describe


def measured_output(output: Any) -> Any:
    """The tensor that is measured where no function names it; what holds none, or more than one, as it is.

    A tensor is itself. Of anything with `logits`, as an entry or an attribute, it is these; of a tuple or list the
    first tensor of real numbers with an axis; of a dict the only such one.

    Args:
        output: what a module returned.

    Example:
        >>> import torch
        >>> loss, logits = torch.tensor(0.5), torch.zeros(4, 2)
        >>> [tuple(measured_output(output).shape) for output in ((loss, logits), {"logits": logits, "hidden": logits})]
        [(4, 2), (4, 2)]
    """
    if isinstance(output, Tensor):
        return output
    named = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if isinstance(named, Tensor):
        return named
    parts = list(output.values()) if isinstance(output, Mapping) else output
    if not isinstance(parts, tuple | list):
        return output
    found = [part for part in parts if isinstance(part, Tensor) and part.ndim and part.is_floating_point()]
    several = isinstance(output, Mapping) and len(found) > 1
    return found[0] if found and not several else output


def checked_output(output: object, samples: int) -> Tensor:
    """What was found, if it can be measured.

    Args:
        output: what `measured_output`, or the function of the user, made of the module's output.
        samples: N, how many samples went in.

    Raises:
        WorkloadError: it is no tensor of real numbers (N, ...).
    """
    if not isinstance(output, Tensor):
        raise WorkloadError(
            "which tensor of the module's output is measured cannot be told", where="model output",
            rule="a tensor (N, ...), a tuple that begins with one, or something with .logits",
            value=describe(dict(output) if isinstance(output, Mapping) else output),
            next_step="pass logits=..., a function at the top level of a file, for instance "
            "lambda output: output.last_hidden_state[:, 0]",
        )
    if output.ndim < 1 or output.shape[0] != samples or not output.is_floating_point() or not output.numel():
        raise WorkloadError(
            "the module's output has not the form of logits", where="model output",
            rule=f"real numbers of shape (N, ...) with N = {samples} samples first",
            value=describe(output),
            next_step="pass logits=... to bring it into that form, for instance lambda z: z.movedim(1, -1)",
        )
    return output
