"""Calibration and evaluation data in a file, for networks that come without: FILE.npz or FILE.safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from qtaml_codesign.errors import WorkloadError, shorten
from qtaml_codesign.nets.batched import LABELS
from qtaml_codesign.nets.inputs import Inputs, map_leaves

ALONE = ("inputs", "input", "x")
"""Names of a tensor that a module takes as its only argument, whatever it calls it."""
CALIBRATION = "calibration"
USUAL_CALIBRATION = 64
FORM = ("a tensor of inputs named inputs, or several by the names that forward() gives them; labels (or targets) where "
        "the metric needs them; calibration, or calibration.NAME for each input, where other samples are meant")


@dataclass(frozen=True)
class Data:
    """What a data file holds.

    Attributes:
        inputs: of the evaluation set.
        targets: labels or values; None where the file has none.
        calibration: unlabelled inputs; the first 64 of the evaluation set where the file has none of its own.
    """

    inputs: Inputs
    targets: Tensor | None
    calibration: Inputs

    @property
    def metric(self) -> str:
        """The metric that the targets suggest: classes, values, several labels of a sample, or none at all."""
        if self.targets is None:
            return "agreement"
        if not self.targets.is_floating_point() and self.targets.dtype != torch.bool:
            return "accuracy"
        return "label-accuracy" if bool(((self.targets == 0) | (self.targets == 1)).all()) else "rmse"


def read_data(path: Path) -> Data:
    """The tensors of a data file.

    Args:
        path: ends in .npz or .safetensors.

    Raises:
        WorkloadError: no such file, or it does not hold inputs.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "digits.npz")
        >>> np.savez(path, inputs=np.zeros((100, 3), np.float32), labels=np.zeros(100, int))
        >>> found = read_data(path)
        >>> tuple(found.inputs.shape), tuple(found.calibration.shape), found.metric
        ((100, 3), (64, 3), 'accuracy')
    """
    tensors = _tensors(path)
    targets = [tensors.pop(name) for name in LABELS if name in tensors]
    own = {name: tensors.pop(name) for name in list(tensors) if name.partition(".")[0] == CALIBRATION}
    if not tensors or len(targets) > 1:
        _refuse("the data file holds no inputs" if not tensors else "the data file holds targets twice", path,
                ", ".join([*own, *tensors]) or "labels alone", "name the tensors so")
    inputs = _inputs(tensors)
    alone = next(iter(tensors))
    calibration = (_inputs({name.partition(".")[2] or alone: part for name, part in own.items()}) if own else
                   map_leaves(inputs, lambda part: part[:USUAL_CALIBRATION]))
    return Data(inputs, targets[0] if targets else None, calibration)


def _inputs(tensors: Mapping[str, Tensor]) -> Inputs:
    first = next(iter(tensors))
    return tensors[first] if len(tensors) == 1 and first in ALONE else dict(tensors)


def _tensors(path: Path) -> dict[str, Tensor]:
    readers: dict[str, Any] = {".npz": _of_numpy, ".safetensors": load_file}
    if path.suffix not in readers or not path.is_file():
        _refuse("the data file does not exist" if path.suffix in readers else "the data file is of another kind", path,
                path, "write it with numpy.savez(...) or safetensors.torch.save_file({...})")
    try:
        return dict(readers[path.suffix](path))
    except Exception as failure:
        _refuse(f"the data file cannot be read: {type(failure).__name__}: {shorten(failure, 200)}", path, path,
                "write it again: arrays of numbers alone, no objects")


def _of_numpy(path: Path) -> dict[str, Tensor]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def _refuse(what: str, path: Path, value: object, next_step: str) -> NoReturn:
    raise WorkloadError(what, where=f"data (--data), {path.name}", rule=f"FILE.npz or FILE.safetensors with {FORM}",
                        value=value, next_step=next_step)
