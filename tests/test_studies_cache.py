"""The cache of a study sees what its measurement uses: the training recipe, classes and arrays as well as functions."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from lab import cases, networks

SOURCE = """
from dataclasses import dataclass
import numpy as np
LEVELS = np.array([{level}])
@dataclass
class Drawn:
    base: int = 1
    def twice(self):
        return {factor} * self.base
def measure(case, folder):
    return [{{"y": Drawn().twice() * LEVELS[0]}}]
"""


def toy(folder: Path, **values: int) -> ModuleType:
    path = folder / ("toy_" + "_".join(map(str, values.values())) + ".py")
    path.write_text(SOURCE.format(**values))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    importlib.sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def test_classes_and_arrays_are_part_of_a_measurement(tmp_path: Path) -> None:
    found = []
    for level, factor in ((1, 2), (1, 3), (4, 3)):
        recipe = cases.recipe_of(toy(tmp_path, level=level, factor=factor).measure, root=tmp_path)
        found.append({name.partition(".")[2]: text for name, text in recipe.items()})
    assert found[0]["Drawn"] != found[1]["Drawn"]
    assert found[0]["LEVELS"] == found[1]["LEVELS"] != found[2]["LEVELS"]


@pytest.mark.parametrize("name", ["accuracy_vs_overhead", "transformer", "architectures"])
def test_the_training_recipe_is_part_of_a_measurement(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = importlib.import_module(name).STUDY.measure
    before = cases.recipe_of(measure)
    assert {"networks.train", "networks.examples", "networks.EPOCHS"} <= set(before)
    monkeypatch.setattr(networks, "EPOCHS", 31)
    assert cases.recipe_of(measure) != before


def test_networks_of_another_recipe_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One epoch on few examples, then another: the second run trains anew, the same recipe does not."""
    monkeypatch.setattr(networks, "TRAINING_SEQUENCES", 64)
    monkeypatch.setattr(networks, "EPOCHS", 1)
    networks.train_missing([("transformer", 1)], tmp_path, 1)
    networks.train_missing([("transformer", 1)], tmp_path, 1)
    (first,) = tmp_path.iterdir()
    monkeypatch.setattr(networks, "BATCH", 32)
    networks.train_missing([("transformer", 1)], tmp_path, 1)
    assert len(list(tmp_path.iterdir())) == 2
    assert first.exists()
