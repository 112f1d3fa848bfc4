"""Networks that are files of other programs: a folder of Hugging Face transformers, ONNX, torch.export.

transformers is imported here alone, when such a folder is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qtaml_codesign.errors import WorkloadError
from qtaml_codesign.nets.data_file import FORM, Data, read_data
from qtaml_codesign.nets.from_onnx import onnx_workload
from qtaml_codesign.nets.inputs import describe, leaves, map_leaves
from qtaml_codesign.nets.outputs import measured_output
from qtaml_codesign.nets.usercode import user_code
from qtaml_codesign.nets.workload import Workload

_FEW = 32
"""Samples per forward pass of a model of transformers, whose activations are large."""
_FOLDER = "a folder that model.save_pretrained(FOLDER) has written, with its safetensors"


def file_workload(path: Path, data: Path | None) -> Workload | None:
    """The workload of a folder or file, where it is of a kind that is known here.

    Args:
        path: of the network.
        data: of its calibration and evaluation data.

    Returns:
        None for other kinds.

    Raises:
        WorkloadError: the network or the data cannot be read, a package is missing, or no data were named.
    """
    make = _maker(path)
    if make is None:
        return None
    if data is None:
        raise WorkloadError(
            "the network comes without data", where=str(path), rule=f"data beside it: {FORM}", value="no --data",
            next_step="add --data FILE.npz (or FILE.safetensors); in Python, load_workload(path, data=...)",
        )
    return make(path, read_data(data))


def _maker(path: Path) -> Callable[[Path, Data], Workload] | None:
    if path.is_dir():
        return _of_transformers
    return {".onnx": onnx_workload, ".pt2": _of_program}.get(path.suffix)


def _of_program(path: Path, data: Data) -> Workload:
    with user_code("the exported program cannot be read", str(path), "what torch.export.save(program, PATH) wrote",
                   "export it again with this version of torch", path.name):
        program = torch.export.load(path)
    return Workload(program, data.calibration, (data.inputs, data.targets), name=path.stem, metric=data.metric)


def _of_transformers(path: Path, data: Data) -> Workload:
    model = _pretrained(path)
    given: dict[str, Any] = {"name": path.resolve().name, "batch_size": _FEW}
    causal = type(model).__name__.endswith(("ForCausalLM", "LMHeadModel"))
    if causal and data.targets is not None:
        raise WorkloadError(
            "a causal language model is measured by its own next tokens", where="data (--data), labels",
            rule="no labels beside input_ids", value=describe(data.targets),
            next_step="leave the labels out: perplexity of each next token; other scores with a Workload in Python",
        )
    if not causal:
        metric = "label-accuracy" if model.config.problem_type == "multi_label_classification" else data.metric
        return Workload(model, data.calibration, (data.inputs, data.targets), metric=metric, **given)
    if isinstance(data.inputs, dict) and not bool(data.inputs.get("attention_mask", torch.ones(1)).all()):
        raise WorkloadError(
            "padded tokens would be scored", where="data (--data), attention_mask", rule="samples of full length",
            value="zeros in the mask", next_step="cut the text into samples of one length",
        )
    tokens = data.inputs["input_ids"] if isinstance(data.inputs, dict) else leaves(data.inputs)[0]
    inputs, calibration = (map_leaves(part, torch.Tensor.long) for part in (data.inputs, data.calibration))
    return Workload(model, calibration, (inputs, tokens[:, 1:].long()), metric="perplexity",
                    logits=before_next_token, **given)


def before_next_token(output: Any) -> Tensor:
    """Logits (N, T - 1, C) that a language model gives for the tokens 1 to T - 1.

    Args:
        output: what the model returned for tokens (N, T).
    """
    logits: Tensor = measured_output(output)[:, :-1]
    return logits


def _pretrained(path: Path) -> Any:
    with _installed(path), user_code("the model cannot be loaded", str(path), _FOLDER,
                                     "load it in Python to see the whole traceback", path.name):
        import transformers

        config = transformers.AutoConfig.from_pretrained(path, local_files_only=True)
        named = config.architectures or []
        kind = getattr(transformers, named[0], None) if named else None
        if kind is None:
            raise WorkloadError(
                "the folder does not name a model of transformers", where=str(path / "config.json"), rule=_FOLDER,
                value=f"architectures: {named}", next_step="save the model itself, or build the workload in Python",
            )
        model = kind.from_pretrained(path, local_files_only=True, use_safetensors=True)
        model.config.use_cache = False
        return model


@contextmanager
def _installed(path: Path) -> Iterator[None]:
    try:
        yield
    except WorkloadError as failure:
        if not isinstance(failure.__cause__, ModuleNotFoundError):
            raise
        raise WorkloadError(
            "a package is not installed", where=str(path), rule="transformers reads such folders",
            value=str(failure.__cause__), next_step="pip install 'qtaml-codesign[hf]'",
        ) from failure
