"""Everything that was asked of a run and acts on its tables, as plain values: two runs with the same give the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtaml_codesign.cards import DeviceCard
from qtaml_codesign.sweeps.settings import SweepSettings
from qtaml_codesign.sweeps.task import ENGINE_VERSION, content_digest


def options_record(
    card: DeviceCard, workload_digest: str, settings: SweepSettings, asked: Mapping[str, object]
) -> dict[str, Any]:
    """Plain values that survive JSON: card and workload by digest, the settings, and how the points were chosen."""
    chosen = {name: list(value) if isinstance(value, tuple) else value
              for name, value in vars(settings).items() if name != "rule"}
    chosen["target"] = settings.wanted.plain
    return {
        "card": content_digest(card.to_dict()), "workload": workload_digest, **chosen,
        "stopping": settings.rule.describe(), **asked, "engine": ENGINE_VERSION,
    }


def differences(standing: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Names of the options that differ, in the order of the second.

    Example:
        >>> differences({"seed": 0, "target": 0.95}, {"seed": 1, "target": 0.95})
        ['seed']
    """
    if not standing.keys() & wanted.keys():
        return ["not recorded"]
    names = [*wanted, *(name for name in standing if name not in wanted)]
    return [name for name in names if standing.get(name) != wanted.get(name)]
