"""The two data sets of the zoo: handwritten digits, and a sequence task made from a fixed random key."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from qtaml_codesign.nets.architectures import LENGTH, TOKENS

SPLIT_KEY = 0
SEQUENCE_KEYS = {"train": 1, "evaluation": 2, "calibration": 3}
EVALUATION_SEQUENCES = 1000
CALIBRATION_SAMPLES = 64


class LabelledInputs(NamedTuple):
    """Inputs (N, ...) and their labels (N,)."""

    inputs: Tensor
    labels: Tensor


def digits(part: str) -> LabelledInputs:
    """The scikit-learn digits, (N, 1, 8, 8) float32 in [0, 1]: 1437 images of `train`, 360 of `evaluation`.

    A stratified 80/20 split with a fixed key; the order within a part is fixed too.

    Example:
        >>> digits("evaluation").inputs.shape
        torch.Size([360, 1, 8, 8])
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    index = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=SPLIT_KEY)
    chosen = index[0 if part == "train" else 1]
    inputs = torch.from_numpy((images[chosen] / 16.0).astype(np.float32).reshape(-1, 1, 8, 8))
    return LabelledInputs(inputs, torch.from_numpy(labels[chosen].astype(np.int64)))


def sequences(part: str, count: int) -> LabelledInputs:
    """Random sequences of 16 tokens 0..9, labelled (first + last) mod 10; each part has its own key.

    Example:
        >>> tokens, labels = sequences("evaluation", 1000)
        >>> tokens.shape, bool(((tokens[:, 0] + tokens[:, -1]) % 10 == labels).all())
        (torch.Size([1000, 16]), True)
    """
    generator = np.random.Generator(np.random.Philox(key=SEQUENCE_KEYS[part]))
    tokens = torch.from_numpy(generator.integers(0, TOKENS, size=(count, LENGTH)))
    return LabelledInputs(tokens, (tokens[:, 0] + tokens[:, -1]) % TOKENS)
