"""qtaml-codesign: from a device card to the accuracy frontier of a network.

Data flows one way, as frozen values:

    card (YAML) -> flip probability -> noise on stored codes -> TAC plan -> trials -> counts -> frontier

Layers, each importing only from those above it:

    L0  errors, checks, constants, statistics, records, files
    L1  barriers, card_schema, cards
    L2  physics
    L3  bits
    L4  ecc
    L5  codecs
    L6  nets
    L7  memory
    L8  tac
    L9  plots
    L10 frontier
    L11 sweeps
    L12 report
    L13 commands, __main__

L0 to L5 never import torch: a hardware engineer can use them without it. The public names below are loaded on
first use, so that `import qtaml_codesign` and `codesign --help` stay quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qtaml_codesign.barriers.barrier import Barrier
    from qtaml_codesign.barriers.registry import register_barrier
    from qtaml_codesign.bits.cell_law import BitErrorProfile
    from qtaml_codesign.bits.flips import read_back
    from qtaml_codesign.bits.formats import BitFormat
    from qtaml_codesign.bits.law import ReadLaw
    from qtaml_codesign.bits.noise import NOISE_MODELS, NoiseModel, noise_model
    from qtaml_codesign.cards import DeviceCard, list_cards, load_card
    from qtaml_codesign.errors import CodesignError
    from qtaml_codesign.frontier import Frontier
    from qtaml_codesign.nets.counts import TrialCounts
    from qtaml_codesign.nets.loading import load_workload
    from qtaml_codesign.nets.metric import Metric
    from qtaml_codesign.nets.workload import Workload
    from qtaml_codesign.physics.cells import flip_probability_of_cells
    from qtaml_codesign.physics.comparison import compare_cards
    from qtaml_codesign.physics.flip import FlipProbability, flip_probability, thickness_for
    from qtaml_codesign.physics.retention import Retention, retention, retention_time_s
    from qtaml_codesign.sweeps.api import Sweep, find_frontier, sweep
    from qtaml_codesign.sweeps.cluster import DaskCluster
    from qtaml_codesign.sweeps.design import Design, design
    from qtaml_codesign.sweeps.family import SweepFamily, sweep_family
    from qtaml_codesign.sweeps.least_budget import LeastBudget, least_budget
    from qtaml_codesign.tac.api import TacPlan, plan
    from qtaml_codesign.tac.encodings import EncodingComparison, compare_encodings
    from qtaml_codesign.tac.evaluation import Evaluation, evaluate

__version__ = "0.1.0"

_HOME = {
    "Barrier": "barriers.barrier",
    "BitErrorProfile": "bits.cell_law",
    "BitFormat": "bits.formats",
    "CodesignError": "errors",
    "DaskCluster": "sweeps.cluster",
    "Design": "sweeps.design",
    "DeviceCard": "cards",
    "EncodingComparison": "tac.encodings",
    "Evaluation": "tac.evaluation",
    "FlipProbability": "physics.flip",
    "Frontier": "frontier",
    "LeastBudget": "sweeps.least_budget",
    "Metric": "nets.metric",
    "NOISE_MODELS": "bits.noise",
    "NoiseModel": "bits.noise",
    "ReadLaw": "bits.law",
    "Retention": "physics.retention",
    "Sweep": "sweeps.api",
    "SweepFamily": "sweeps.family",
    "TacPlan": "tac.api",
    "TrialCounts": "nets.counts",
    "Workload": "nets.workload",
    "compare_cards": "physics.comparison",
    "compare_encodings": "tac.encodings",
    "design": "sweeps.design",
    "evaluate": "tac.evaluation",
    "find_frontier": "sweeps.api",
    "flip_probability": "physics.flip",
    "flip_probability_of_cells": "physics.cells",
    "least_budget": "sweeps.least_budget",
    "list_cards": "cards",
    "load_card": "cards",
    "load_workload": "nets.loading",
    "noise_model": "bits.noise",
    "plan": "tac.api",
    "read_back": "bits.flips",
    "register_barrier": "barriers.registry",
    "retention": "physics.retention",
    "retention_time_s": "physics.retention",
    "sweep": "sweeps.api",
    "sweep_family": "sweeps.family",
    "thickness_for": "physics.flip",
}

__all__ = [  # noqa: RUF022  (in the order of the pipeline)
    "load_card", "list_cards", "DeviceCard", "Barrier", "register_barrier",
    "flip_probability", "flip_probability_of_cells", "thickness_for", "FlipProbability", "compare_cards",
    "retention", "retention_time_s", "Retention",
    "BitFormat", "BitErrorProfile", "ReadLaw", "read_back",
    "noise_model", "NoiseModel", "NOISE_MODELS",
    "load_workload", "Workload", "Metric", "TrialCounts",
    "plan", "TacPlan", "evaluate", "Evaluation", "compare_encodings", "EncodingComparison",
    "sweep", "Sweep", "find_frontier", "Frontier", "sweep_family", "SweepFamily",
    "design", "Design", "least_budget", "LeastBudget", "DaskCluster",
    "CodesignError",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its room on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, and no others: rooms that happen to be loaded are not."""
    return sorted([*__all__, "__all__", "__doc__", "__file__", "__name__", "__path__", "__version__"])
