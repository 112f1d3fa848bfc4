"""Encoders of the shape of BERT, with random weights, and what a plan and three trials of one cost."""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

LENGTH = 32
FLIP_PROBABILITY = 0.05
BUDGET = 0.1
TRIALS = 3
CORRECTION_TRIALS = 5


class Encoder(nn.Module):
    """Token and position embeddings, transformer encoder layers, a pooler and a classifier.

    The defaults are BERT-base: Devlin, Chang, Lee and Toutanova, "BERT" (2018), arXiv 1810.04805.
    """

    def __init__(self, width: int = 768, layers: int = 12, tokens: int = 30522, positions: int = 512) -> None:
        super().__init__()
        heads = max(2, width // 64)
        self.words = nn.Embedding(tokens, width)
        self.positions = nn.Embedding(positions, width)
        self.norm = nn.LayerNorm(width)
        block = nn.TransformerEncoderLayer(width, heads, 4 * width, activation="gelu", batch_first=True)
        self.blocks = nn.TransformerEncoder(block, layers, enable_nested_tensor=False)
        self.pooler = nn.Linear(width, width)
        self.head = nn.Linear(width, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, T) tokens -> (N, 2) logits."""
        x = self.words(tokens) + self.positions(torch.arange(tokens.shape[1], device=tokens.device))
        return self.head(torch.tanh(self.pooler(self.blocks(self.norm(x))[:, 0])))


def sequences(count: int, tokens: int) -> Tensor:
    """(count, LENGTH) random tokens."""
    return torch.randint(0, tokens, (count, LENGTH), generator=torch.Generator().manual_seed(count))


def labelled(model: nn.Module, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens and what the model itself says they are, so that its clean accuracy is 1."""
    with torch.inference_mode():
        return tokens, model(tokens).argmax(-1)


def memory(what: str) -> int:
    """Bytes of this process: VmRSS now, VmHWM at its highest."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


def deploy(method: str) -> None:
    """Plan and try BERT-base in this process, and print what it took as JSON: bytes and seconds."""
    torch.set_num_threads(1)
    took: dict[str, float] = {"torch": memory("VmRSS")}
    import qtaml_codesign as qc

    small = qc.load_workload("transformer")
    qc.evaluate(small, qc.plan(small, flip_probability=FLIP_PROBABILITY, budget=BUDGET), FLIP_PROBABILITY, trials=2)
    took["package"] = memory("VmRSS")
    torch.manual_seed(0)
    model = Encoder().eval()
    calibration, evaluation = sequences(2, 30522), labelled(model, sequences(8, 30522))
    took["model"] = 4 * sum(parameter.numel() for parameter in model.parameters())
    started = time.perf_counter()
    workload = qc.Workload(model, calibration, evaluation)
    took["workload_s"] = time.perf_counter() - started
    took["workload"] = memory("VmHWM")
    del model
    gc.collect()
    started = time.perf_counter()
    chosen = qc.plan(workload, method, FLIP_PROBABILITY, BUDGET, correction_trials=CORRECTION_TRIALS)
    took["plan_s"] = time.perf_counter() - started
    took["plan"] = memory("VmHWM")
    started = time.perf_counter()
    qc.evaluate(workload, chosen, FLIP_PROBABILITY, trials=TRIALS)
    took["trials_s"] = time.perf_counter() - started
    took["trials"] = memory("VmHWM")
    took["layers"] = len(chosen.layers)
    took["weights"] = sum(layer.weights for layer in chosen.layers)
    print(json.dumps(took | bare(calibration, evaluation[0])))


def bare(calibration: Tensor, evaluation: Tensor) -> dict[str, float]:
    """Seconds of the passes themselves, best of three: forward over each set, and forward with a reverse per logit."""
    model = Encoder().eval()

    def calibrate() -> None:
        logits = model(calibration).sum(dim=0)
        for logit in logits:
            torch.autograd.grad(logit, list(model.parameters()), retain_graph=True)

    calibration_s = best(calibrate)
    with torch.inference_mode():
        forward_s, evaluation_s = best(lambda: model(calibration)), best(lambda: model(evaluation))
    return {"bare_gains_s": calibration_s, "bare_calibration_s": forward_s, "bare_evaluation_s": evaluation_s}


def best(work: Callable[[], object], times: int = 3) -> float:
    """Shortest of some calls after a first one, seconds."""
    taken = []
    for _ in range(times + 1):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken[1:])


if __name__ == "__main__":
    deploy(sys.argv[1])
