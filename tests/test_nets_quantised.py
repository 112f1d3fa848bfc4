"""Weights that come as whole numbers are stored as they are, and corrected in the readout."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch import nn

import qtaml_codesign as qc
from qtaml_codesign.errors import InputError, WorkloadError
from qtaml_codesign.memory.deploy import deploy
from tests.brought import loses_with_p, trained
from tests.test_nets_brought import IMAGE_LABELS, IMAGES

CLASSES, SAMPLES = 4, 240


class Quantised(nn.Module):
    """Whole numbers and a scale for each channel, as quantisers leave them."""

    def __init__(self, layer: nn.Linear, bits: int, parameter: bool) -> None:
        super().__init__()
        weight = layer.weight.detach()
        scale = weight.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
        codes = (weight / scale).round().to(torch.int8)
        if parameter:
            self.weight_int = nn.Parameter(codes, requires_grad=False)
        else:
            self.register_buffer("weight_int", codes)
        self.register_buffer("scale", scale)
        self.bias = nn.Parameter(layer.bias.detach().clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.weight_int.to(x.dtype) * self.scale, self.bias)


def quantised(bits: int, parameter: bool = False, **more: object) -> tuple[nn.Module, qc.Workload]:
    model = trained(nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.Tanh(), nn.Linear(24, CLASSES)), IMAGES,
                    IMAGE_LABELS)
    held = nn.Sequential(model[0], Quantised(model[1], bits, parameter), nn.Tanh(),
                         Quantised(model[3], bits, parameter))
    given = {"quantised": {"*.weight_int": bits}} | more
    return held, qc.Workload(held, IMAGES[:32], (IMAGES, IMAGE_LABELS), **given)


@pytest.mark.parametrize("encoding", ["offset_binary", "twos_complement"])
@pytest.mark.parametrize(("bits", "parameter"), [(8, False), (8, True), (4, False)])
def test_whole_numbers_are_stored_as_they_are(bits, parameter, encoding):
    model, workload = quantised(bits, parameter)
    plan = qc.plan(workload, "tac", 0.05, 0.25, bits=bits, encoding=encoding)
    codecs = {layer.name: layer.codec for layer in plan.layers}
    stored = deploy(workload.weights, codecs, laws(workload, bits, encoding))
    for name, weights in stored.clean_weights().items():
        codec = codecs[name]
        codes = (dict(model.named_buffers()) | dict(model.named_parameters()))[name].numpy()
        np.testing.assert_allclose(weights, (codes + codec.offset * codec.scale / codec.gain) * codec.gain, rtol=1e-6)
    assert all(layer.factor == 1.0 for layer in plan.layers)
    assert any(layer.gain != 1.0 for layer in qc.plan(workload, "tac-always-corrected", 0.05, 0.0, bits=bits).layers)


def laws(workload: qc.Workload, bits: int, encoding: str) -> object:
    from qtaml_codesign.bits.cell_law import BitErrorProfile
    from qtaml_codesign.bits.formats import BitFormat

    return BitErrorProfile.uniform(0.05, BitFormat(bits, encoding)).assign(list(workload.weights))


@pytest.mark.parametrize("bits", [8, 4])
def test_without_flips_nothing_is_lost_to_a_second_quantisation(bits):
    model, workload = quantised(bits)
    assert torch.equal(workload.run(IMAGES), model(IMAGES))
    plan = qc.plan(workload, "none", 0.1, bits=bits)
    clean = qc.evaluate(workload, plan, 0.0, trials=2)
    assert clean.value == workload.clean_value
    assert pickle.loads(pickle.dumps(workload)).digest == workload.digest
    loses_with_p(workload, bits=bits)


def test_quantised_weights_that_cannot_be_stored_so():
    _, workload = quantised(4)
    with pytest.raises(InputError, match="another bit count"):
        qc.plan(workload, "none", 0.1)
    with pytest.raises(InputError, match="would quantise"):
        qc.plan(workload, "channel-optimised", 0.1, cells=4)
    with pytest.raises(WorkloadError, match="whole numbers of 2 bits"):
        quantised(4, quantised={"*.weight_int": 2})
    with pytest.raises(WorkloadError, match="no parameter or buffer"):
        quantised(4, quantised={"*.codes": 4})
    with pytest.raises(WorkloadError, match="out of bounds"):
        quantised(4, quantised={"*.weight_int": 32})
    with pytest.raises(WorkloadError, match="not stored"):
        quantised(4, tensors=["1.weight_int"])
    with pytest.raises(WorkloadError, match=r"flips would not reach|no weight tensor") as caught:
        quantised(4, quantised=None)
    assert "quantised={" in caught.value.next_step


def test_a_number_that_the_encoding_lacks_is_refused():
    held, _ = quantised(8)
    held[1].weight_int[0, 0] = -128
    workload = qc.Workload(held, IMAGES[:32], (IMAGES, IMAGE_LABELS), quantised={"*.weight_int": 8})
    with pytest.raises(InputError, match="does not hold a weight"):
        qc.plan(workload, "none", 0.1, encoding="sign_magnitude")
    qc.plan(workload, "none", 0.1)


def test_a_forward_pass_that_needs_the_whole_numbers_is_refused():
    class Packed(Quantised):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.linear(x, (self.weight_int / 16).to(torch.int8).to(x.dtype) + 0.5 * torch.frac(
                self.weight_int.to(x.dtype)) + float(not self.weight_int.is_floating_point()))

    held = nn.Sequential(nn.Flatten(), Packed(nn.Linear(64, CLASSES), 8, False))
    with pytest.raises(WorkloadError, match="as whole numbers"):
        qc.Workload(held, IMAGES[:32], (IMAGES, IMAGE_LABELS), quantised={"*.weight_int": 8})


# names of results
