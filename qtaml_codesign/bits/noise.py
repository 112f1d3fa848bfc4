"""Named noise models: flips that depart from one rate for all cells, at the same mean rate.

    ramp            plane rates p (1 + a x_i), x_i = -1 at the LSB ... +1 at the MSB; their mean is p
    cell variation  log-normal rates from cell to cell, mean p (`bits.variation`)
    blocks          runs of weights that share their flips; every cell keeps rate p (`bits.variation`)
    layer variation every tensor's rates times a log-normal factor; the mean over all weights is p

Averaged over chips, independent cell variation gives exactly the uniform law again: a mixture of independent Bernoulli
variables is a Bernoulli variable with the mean rate. It acts only because one chip is read again and again. Blocks
leave every marginal alone and change only the correlation between neighbouring weights.

Source: arXiv 2606.00741, section 5.7, which tests seven such laws; the constants of the named models are ours.
"""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw, as_profile
from qtaml_codesign.checks import number_within, one_of, whole_number
from qtaml_codesign.errors import InputError

if TYPE_CHECKING:
    from qtaml_codesign.physics.flip import FlipProbability


ROUNDING = 1e-14
"""By how much a rate may exceed 1 from rounding alone; it is cut back to 1."""


@runtime_checkable
class CellNoise(Protocol):
    """What `evaluate(noise=...)` asks of a noise model: any object with this method will do.

    Under a name of its own in `NOISE_MODELS` it is found by that name.
    """

    def apply_to(self, nominal: Mapping[str, CellLaw], sizes: Mapping[str, int], seed: int = 0) -> dict[str, CellLaw]:
        """The laws of the tensors under this model.

        Args:
            nominal: laws that the plan knows, by tensor name.
            sizes: weights by tensor name.
            seed: which memory; the same seed gives the same laws.

        Returns:
            A law for every tensor, in the format of its nominal one.
        """
        ...


@dataclass(frozen=True)
class NoiseModel:
    """How the flip rates depart from uniform ones, at the same mean.

    Attributes:
        name, summary: for tables and help.
        ramp: a in [-1, 1]; plane i of B has its rate times 1 + a (2 i / (B - 1) - 1), so the MSB flips 1 + a times as
            often as the mean plane, the LSB 1 - a times; unequal plane rates are rescaled to keep their mean.
        cell_spread: sigma of ln rate from cell to cell, >= 0; above 0 it replaces that of the given rates.
        block: weights that share their flips, >= 1; above 1 it replaces the block of the given rates.
        layer_spread: sigma of ln rate from tensor to tensor, >= 0.

    Raises:
        InputError: a ramp, spread or block outside its bounds.

    Example:
        >>> noise_model("msb-heavier").apply(0.1, {"fc.weight": 100}).regions[1].one_to_zero[[0, 7]].round(12).tolist()
        [0.05, 0.15]
    """

    name: str
    summary: str
    ramp: float = 0.0
    cell_spread: float = 0.0
    block: int = 1
    layer_spread: float = 0.0

    def __post_init__(self) -> None:
        number_within("ramp", self.ramp, -1.0, 1.0, "-1 <= ramp <= 1", "0.5 lets the MSB flip 1.5 times as often")
        number_within("cell_spread", self.cell_spread, 0.0, 5.0, "0 <= cell_spread <= 5", "0.3 is about 30 %")
        number_within("layer_spread", self.layer_spread, 0.0, 5.0, "0 <= layer_spread <= 5", "0.3 is about 30 %")
        whole_number("block", self.block, least=1)

    def apply(
        self, flip_probability: ArrayLike | FlipProbability | BitErrorProfile, sizes: Mapping[str, int], seed: int = 0
    ) -> BitErrorProfile:
        """The rates of every tensor under this model, one region per tensor.

        Args:
            flip_probability: nominal rates: a number, (B,) by plane, a `FlipProbability` or a profile.
            sizes: weights by tensor name.
            seed: which memory: key of the factors of layer variation. The cells of cell variation are keyed by the
                seed of the reading.

        Raises:
            InputError: as `apply_to`.

        Example:
            >>> profile = NoiseModel("mine", "", layer_spread=0.5).apply(0.1, {"a": 100, "b": 300})
            >>> a, b = (profile.region_of(name).one_to_zero[0].item() for name in ("a", "b"))
            >>> a != b, round((100 * a + 300 * b) / 400, 15)
            (True, 0.1)
        """
        profile = as_profile(flip_probability)
        changed = self.apply_to(profile.assign(sizes), sizes, seed)
        return BitErrorProfile((profile.regions[0], *changed.values()))

    def apply_to(
        self, nominal: Mapping[str, CellLaw], sizes: Mapping[str, int], seed: int = 0
    ) -> dict[str, CellLaw]:
        """The same for rates that already belong to tensors: rates by tensor name in, rates by tensor name out.

        Args:
            nominal: laws by tensor name.
            sizes: weights by tensor name, of the same tensors.
            seed: which memory.

        Raises:
            InputError: sizes of other tensors, or rates that the model would lift above 1 or silence.
        """
        _check_sizes(nominal, sizes)
        seed = whole_number("seed", seed, least=0)
        ramped = {name: _ramped(errors, self.ramp) for name, errors in nominal.items()}
        factors = _layer_factors(ramped, sizes, self.layer_spread, seed)
        return {
            name: replace(
                errors, name=f"tensor {name}", tensors=(glob.escape(name),),
                block=self.block if self.block > 1 else errors.block, spread=self.cell_spread or errors.spread,
                own_rates=() if self.cell_spread else errors.own_rates,
                one_to_zero=np.minimum(factors[name] * errors.one_to_zero, 1.0),
                zero_to_one=np.minimum(factors[name] * errors.zero_to_one, 1.0),
            )
            for name, errors in ramped.items()
        }


def _check_sizes(nominal: Mapping[str, CellLaw], sizes: Mapping[str, int]) -> None:
    if not sizes or set(nominal) != set(sizes):
        raise InputError("the sizes are not those of the tensors", where="sizes",
                         rule="weights of every tensor that has flip rates",
                         value=sorted(set(nominal) ^ set(sizes)) or "no tensor",
                         next_step="pass {name: weight.size for name, weight in workload.weights.items()}")
    for name, size in sizes.items():
        whole_number(f"sizes[{name!r}]", size, least=0)


def _ramped(errors: CellLaw, ramp: float) -> CellLaw:
    """Rates times 1 + a x_i, renormalised so that the mean over planes of each direction stays."""
    weights = 1.0 + ramp * np.linspace(-1.0, 1.0, errors.format.bits)
    return replace(errors, one_to_zero=_reweighted(errors.one_to_zero, weights),
                   zero_to_one=_reweighted(errors.zero_to_one, weights))


def _reweighted(rates: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    moved: NDArray[np.float64] = rates * weights
    if not rates.any():
        return moved
    if not moved.any():
        raise InputError("a ramp silences every plane that can flip, so the mean rate cannot stay", where="noise",
                         rule="some plane that can flip keeps a rate above 0", value=rates.tolist(),
                         next_step="use a ramp inside (-1, 1), or rates above 0 in more planes")
    moved *= rates.sum() / moved.sum()
    if moved.max() > 1.0 + ROUNDING:
        raise InputError("a ramp makes a plane flip with probability above 1", where="noise",
                         rule="rate x (1 + ramp) <= 1", value=float(moved.max()),
                         next_step="use a smaller ramp or a smaller flip probability")
    return np.minimum(moved, 1.0)


def _layer_factors(
    nominal: Mapping[str, CellLaw], sizes: Mapping[str, int], spread: float, seed: int
) -> dict[str, float]:
    """Factor of each tensor's rates; the mean rate over all cells and both directions stays, rates are capped at 1."""
    if spread == 0.0:
        return dict.fromkeys(nominal, 1.0)
    raw = np.array([np.exp(spread * _normal(seed, name)) for name in nominal])
    totals = np.array([sizes[name] * (errors.one_to_zero.sum() + errors.zero_to_one.sum())
                       for name, errors in nominal.items()])
    highest = np.array([max(errors.one_to_zero.max(), errors.zero_to_one.max()) for errors in nominal.values()])
    return dict(zip(nominal, _normalised(raw, totals, highest).tolist(), strict=True))


def _normalised(
    raw: NDArray[np.float64], totals: NDArray[np.float64], highest: NDArray[np.float64]
) -> NDArray[np.float64]:
    """raw times a constant with sum(totals x factor) = sum(totals) and no factor x highest above 1 (water-filling)."""
    capped = np.zeros(raw.size, dtype=bool)
    with np.errstate(divide="ignore"):
        most = np.where(highest > 0.0, 1.0 / highest, np.inf)
    while True:
        free = totals[~capped] @ raw[~capped]
        rest = totals.sum() - totals[capped] @ most[capped]
        factors: NDArray[np.float64] = np.where(capped, most, raw * (rest / free if free > 0.0 else 1.0))
        over = ~capped & (factors > most)
        if not over.any():
            return factors
        capped |= over


def _normal(seed: int, name: str) -> float:
    """One standard normal number keyed by seed and tensor name."""
    digest = hashlib.blake2b(f"layer rate {seed} {name}".encode(), digest_size=8).digest()
    return float(special.ndtri(((int.from_bytes(digest, "little") >> 12) + 0.5) / 2.0**52))


NOISE_MODELS: dict[str, CellNoise] = {model.name: model for model in (
    NoiseModel("uniform", "one rate for all cells, the law of the paper"),
    NoiseModel("msb-heavier", "plane rates rise from 0.5 p at the LSB to 1.5 p at the MSB", ramp=0.5),
    NoiseModel("lsb-heavier", "plane rates fall from 1.5 p at the LSB to 0.5 p at the MSB", ramp=-0.5),
    NoiseModel("cell-variation-0.3", "log-normal rates from cell to cell, sigma 0.3", cell_spread=0.3),
    NoiseModel("cell-variation-0.6", "log-normal rates from cell to cell, sigma 0.6", cell_spread=0.6),
    NoiseModel("clusters-4", "runs of 4 weights share their flips", block=4),
    NoiseModel("clusters-16", "runs of 16 weights share their flips", block=16),
    NoiseModel("layer-variation-0.3", "log-normal rates from tensor to tensor, sigma 0.3", layer_spread=0.3),
)}


def noise_model(name: str | CellNoise) -> CellNoise:
    """A named noise model; a model is given back as it is.

    Args:
        name: one of `NOISE_MODELS`, or a model.

    Raises:
        InputError: an unknown name, or an object without `apply_to`.

    Example:
        >>> noise_model("clusters-4") is NOISE_MODELS["clusters-4"]
        True
    """
    return name if isinstance(name, CellNoise) else NOISE_MODELS[one_of("noise model", "noise", name, NOISE_MODELS)]
