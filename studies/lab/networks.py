"""The paper's networks, trained from several seeds by one recipe."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

import qtaml_codesign as qc
from lab.cases import in_parallel, recipe_of
from qtaml_codesign.nets.architectures import BUILDERS
from qtaml_codesign.nets.randomness import global_randomness_kept
from qtaml_codesign.nets.threads import single_threaded
from qtaml_codesign.nets.zoo import EVALUATION_SEQUENCES, LabelledInputs, digits, sequences, zoo_workload

CNNS = ("small-cnn", "wide-cnn", "deep-cnn", "res-cnn")
LABELS = {"small-cnn": "SmallCNN", "wide-cnn": "WideCNN", "deep-cnn": "DeepCNN", "res-cnn": "ResCNN",
          "transformer": "Transformer"}
BATCH = 64
EPOCHS = 30
TRAINING_SEQUENCES = 4000


def examples(name: str) -> tuple[LabelledInputs, LabelledInputs]:
    """(training, evaluation) examples of a network; the split is the same for every seed."""
    if name == "transformer":
        return sequences("train", TRAINING_SEQUENCES), sequences("evaluation", EVALUATION_SEQUENCES)
    return digits("train"), digits("evaluation")


def train(name: str, seed: int) -> nn.Module:
    """A network in eval mode: Adam 1e-3 with cosine decay, 30 epochs, batches of 64; the same seed, the same weights.

    CNNs learn on 80 % of the scikit-learn digits, the transformer on 4000 random sequences.
    """
    with global_randomness_kept():
        torch.manual_seed(seed)
        model = BUILDERS[name]()
    shuffle = torch.Generator().manual_seed(seed)
    training, _ = examples(name)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=EPOCHS)
    model.train()
    with single_threaded():
        for _ in range(EPOCHS):
            for batch in torch.randperm(len(training.labels), generator=shuffle).split(BATCH):
                optimiser.zero_grad()
                functional.cross_entropy(model(training.inputs[batch]), training.labels[batch]).backward()
                optimiser.step()
            schedule.step()
    return model.eval()


@lru_cache(maxsize=32)
def trained(name: str, seed: int, folder: Path) -> qc.Workload:
    """The workload of one training seed: 0 is the network that ships, the others lie in `folder`."""
    if seed == 0:
        return qc.load_workload(name)
    with global_randomness_kept():
        network = BUILDERS[name]()
    network.load_state_dict(load_file(_path(name, seed, folder)))
    return zoo_workload(name, network.eval())


def train_missing(wanted: list[tuple[str, int]], folder: Path, workers: int) -> None:
    """Train every (network, seed) that `folder` lacks."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = {f"{name}-{seed}": (name, seed) for name, seed in wanted
               if seed != 0 and not _path(name, seed, folder).exists()}
    for _ in in_parallel("train networks", _train_to, missing, folder, workers):
        pass


def _train_to(wanted: tuple[str, int], folder: Path) -> None:
    """Train and write; the file appears whole or not at all."""
    path = _path(*wanted, folder)
    unfinished = path.with_suffix(".unfinished")
    save_file(train(*wanted).state_dict(), unfinished)
    unfinished.replace(path)


def _path(name: str, seed: int, folder: Path) -> Path:
    """Where a network lies; trained by another recipe it lies elsewhere, and its cases are others too."""
    recipe = hashlib.sha256(json.dumps(recipe_of(train), sort_keys=True).encode()).hexdigest()
    return folder / f"{name}-{seed}-{recipe[:8]}.safetensors"
