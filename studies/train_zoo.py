"""Train the networks of the zoo and write their weights: `python studies/train_zoo.py --out DIR`.

CNNs: Adam 1e-3 with cosine decay, 30 epochs, batches of 64, on 80 % of the scikit-learn digits. Transformer: the same
optimiser on 4000 random sequences. Deterministic for a seed on one machine; accuracies go to DIR/accuracies.json.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from lab.networks import examples, train
from qtaml_codesign.nets.architectures import BUILDERS
from qtaml_codesign.nets.zoo import LabelledInputs


def accuracy(model: nn.Module, examples: LabelledInputs) -> float:
    with torch.inference_mode():
        return float((model(examples.inputs).argmax(dim=-1) == examples.labels).double().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for NAME.safetensors and accuracies.json")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=sorted(BUILDERS), help="train this network alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    options.out.mkdir(parents=True, exist_ok=True)
    report = options.out / "accuracies.json"
    accuracies = json.loads(report.read_text()) if report.exists() else {}
    for name in [options.only] if options.only else list(BUILDERS):
        started = time.perf_counter()
        model = train(name, options.seed)
        accuracies[name] = accuracy(model, examples(name)[1])
        save_file(model.state_dict(), options.out / f"{name}.safetensors")
        report.write_text(json.dumps(accuracies, indent=1, sort_keys=True) + "\n")
        print(f"{name}: accuracy {accuracies[name]:.4f}, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
