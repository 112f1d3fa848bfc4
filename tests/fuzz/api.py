"""Public functions with wrong values for one argument: a CodesignError, or an answer without NaN."""

from __future__ import annotations

import dataclasses
import decimal
import inspect
import math
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.conftest import TINY_WORKLOAD
from tests.fuzz import odd
from tests.fuzz.running import generator, time_limit

UNDEFINED = ("realised_ber", "nominal_ber")
LEFT_OUT = {"progress", "out", "reuse", "executor", "log", "refine", "interpolate"}  # own tests, and plain truth values
LONG = {"trials", "max_trials", "correction_trials", "workers"}  # a large number is right, and takes long


class Mute:
    """An object that cannot be shown."""

    def __repr__(self) -> str:
        raise ZeroDivisionError

    __str__ = __repr__


@cache
def calls() -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Each function, and arguments that it accepts."""
    import qtaml_codesign as qc

    space: dict[str, Any] = {}
    exec(TINY_WORKLOAD, space)
    workload, card = space["make"](), qc.load_card("3nm")
    made: dict[str, Any] = {"method": "uniform-msp", "flip_probability": 0.1, "budget": 0.25}
    swept: dict[str, Any] = {"workload": workload, "card": card, "budgets": (0.25,), "methods": ("uniform-msp",)}
    plan = qc.plan(workload, **made)
    return {
        "flip_probability": (qc.flip_probability, {"card": card, "thickness_nm": 1.8}),
        "flip_probability_of_cells": (qc.flip_probability_of_cells, {"card": card, "thickness_nm": [1.8, 1.9]}),
        "thickness_for": (qc.thickness_for, {"card": card, "flip_probability": 0.1}),
        "read_back": (qc.read_back, {"codes": np.arange(8, dtype=np.uint8), "flip_probability": 0.1}),
        "noise_model": (qc.noise_model, {"name": "clusters-4"}),
        "BitFormat": (qc.BitFormat, {"bits": 8, "encoding": "offset_binary"}),
        "load_card": (qc.load_card, {"name_or_path": "3nm"}),
        "plan": (qc.plan, {"workload": workload, **made, "method": "tac", "allocation": "greedy"}),
        "evaluate": (qc.evaluate, {"workload": workload, "plan": plan, "flip_probability": 0.1, "trials": 2}),
        "sweep": (qc.sweep, {**swept, "thickness_nm": [1.78], "trials": 2}),
        "find_frontier": (qc.find_frontier, {**swept, "thickness_nm": (1.74, 1.8), "half_width": 0.3}),
    }


def values() -> tuple[Any, ...]:
    """Odd values, those of numpy and torch among them."""
    return (
        *odd.VALUES, 1 + 2j, b"x", {1.76}, object(), Mute(), [1, [2, 3]], [None], (1.76, math.inf), range(3),
        iter([1.76]), type, np,
        lambda value: value, decimal.Decimal("0.1"), decimal.Decimal("nan"), "\ud800", "a\0b", "~nobody/card.yaml",
        "a" * 5000,
        np.array([]), np.array(1.76), np.array([1.76, 1.8]), np.array(["a", "b"]), np.array([1.76, None], dtype=object),
        np.array([1.7 + 0j]), np.array([True, False]), np.array([1, 2], dtype=np.uint8), np.array([0.1] * 8),
        np.zeros((2, 0)),
        np.array([0.1] * 7 + [math.nan]), np.array([-0.1] * 8), np.array([1.0] * 8), np.array(["2020"], dtype="M8[Y]"),
        np.zeros(3, dtype=[("a", int)]), np.ma.masked_array([1.76, 1.8], mask=[True, False]), np.array(2**70,
        dtype=object),
        np.float16(0.1), np.float32(1.76), np.float64(math.nan), np.int64(2), np.uint64(2**63),
        np.datetime64("2020-01-01"),
        torch.tensor(1.76), torch.tensor([1.76, 1.8]), torch.tensor([1, 2], dtype=torch.int8), torch.zeros(2,
        requires_grad=True),
        torch.zeros(2, dtype=torch.complex64), torch.zeros(2, device="meta"), torch.zeros(2).to_sparse(),
    )


def run_case(seed: int, case: int, folder: Path) -> list[str]:
    """What one call shows to be wrong."""
    from qtaml_codesign.errors import CodesignError

    rng = generator(seed, "api", case)
    name, (function, given) = rng.choice(list(calls().items()))
    parameter = rng.choice([one for one in inspect.signature(function).parameters if one not in LEFT_OUT])
    value = rng.choice([one for one in values() if not (parameter in LONG and _is_large(one))])
    told = f"{name}({parameter}={type(value).__name__} {_shown(value)})"
    try:
        with time_limit(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", category=RuntimeWarning, module="qtaml_codesign")
            answer = function(**{**given, parameter: value})
    except CodesignError as refused:
        return [] if len(str(refused)) < 4000 else [f"{told}: an error of {len(str(refused))} characters"]
    except BaseException as failure:
        return [f"{told}: {type(failure).__name__}: {failure}"[:400]]
    return [f"{told}: NaN in {place}" for place in _undefined(answer)]


def _is_large(value: Any) -> bool:
    return isinstance(value, int | np.integer) and value > 3


def _shown(value: Any) -> str:
    return "" if isinstance(value, Mute) else " ".join(repr(value).split())[:80]


def _undefined(answer: Any, name: str = "", depth: int = 0) -> list[str]:
    """Dotted names of the NaN in the fields of a value."""
    if depth > 4 or name.endswith(UNDEFINED):
        return []
    if isinstance(answer, float):
        return [name] if math.isnan(answer) else []
    if isinstance(answer, np.ndarray):
        return [name] if answer.dtype.kind == "f" and np.isnan(answer).any() else []
    if isinstance(answer, tuple | list):
        return [place for item in answer for place in _undefined(item, name, depth + 1)]
    if not dataclasses.is_dataclass(answer):
        return []
    fields = [field.name for field in dataclasses.fields(answer)]
    return [place for field in fields for place in _undefined(getattr(answer, field), f"{name}.{field}", depth + 1)]
