"""Mean correction: what undoes the drift of a layer's weights, and the decision which layers want it.

Flips shrink a stored weight on average: E[read | w] = a w + c, a = 1 - 2p and c = -p D for symmetric flips of equal
rate (arXiv 2606.00741, Theorem 3.2). Storing W' = W / a restores the mean: the scale stays ||W||_inf, W' is clipped to
the grid, and the noise of the flips stays as large as it was (Algorithm 1, step 4; the rescaled reading takes 1 / a as
a readout gain instead, which clips nothing and enlarges the noise). Under flips that go one way only, such as charge
loss, the constant c is large, and a readout offset takes it away. Protected planes do not drift: the paper's factor
overshoots there. Algorithm 1 step 3 therefore simulates each layer alone with each option, and keeps what disturbs the
logits least.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.law import ReadLaw
from qtaml_codesign.codecs.codec import Codec
from qtaml_codesign.codecs.plane_protected import PlaneProtected
from qtaml_codesign.memory.deploy import DeployedModel
from qtaml_codesign.memory.stored import StoredGroup
from qtaml_codesign.nets.inputs import Inputs, map_leaves, sample_count
from qtaml_codesign.nets.network import LayerAlone
from qtaml_codesign.nets.probes import Progress
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.tac.methods import Correction

PURPOSE = "correction"
MOST_LOGITS = 2**22
"""Logits of a simulation of one layer; fewer calibration samples are run where all of them give more."""
LEAST_SAMPLES = 4
"""Calibration samples of a simulation, however many logits each of them gives."""


@dataclass(frozen=True)
class MeanCorrection:
    """What is done to one layer: write clip(factor W / scale), read scale (gain level D + offset).

    Attributes:
        factor: by how much the weights are enlarged before they are clipped and written, > 0.
        gain: by how much read levels are enlarged, > 0.
        offset: added to every read value, in units of the scale.
    """

    factor: float = 1.0
    gain: float = 1.0
    offset: float = 0.0


NOTHING = MeanCorrection()


@dataclass(frozen=True, eq=False)
class ProtectedLayer:
    """One layer whose protection is settled and whose correction is not.

    Attributes:
        plain: its uncorrected words, with their protection and the raw law of their cells.
        weights: the float weights.
        came_quantised: whether they are whole numbers, written as they are, so that the readout corrects them.
    """

    plain: StoredGroup[PlaneProtected]
    weights: NDArray[np.floating]
    came_quantised: bool = False

    @classmethod
    def unprotected(
        cls, name: str, weights: NDArray[np.floating], law: CellLaw, came_quantised: bool = False
    ) -> ProtectedLayer:
        """A layer quantised from float, without protection.

        Args:
            name: of its tensor.
            weights: floats of any shape, finite.
            law: flip rates of its raw cells; it names the format too.
            came_quantised: whether they are levels of the format already.

        Raises:
            InputError: a weight that is not finite.
        """
        codec = PlaneProtected.fitted(weights, law.format)
        if came_quantised:
            codec = PlaneProtected(law.format, scale=1.0 / law.format.step)
        return cls(StoredGroup(name, codec.encode(weights), codec, law), weights, came_quantised)

    def protected(self, depth: int, deeper: int = 0, planes: tuple[int, ...] = ()) -> ProtectedLayer:
        """The same words under this protection (see `PlaneProtected`); planes that are the top ones go unnamed.

        Args:
            depth: protected planes, 0..B.
            deeper: weights that protect one plane more.
            planes: `depth` planes, 0 = LSB, where they need not be the top ones.

        Raises:
            InputError: a depth, a number of weights or planes that do not fit the codec.
        """
        codec = replace(self.plain.codec, depth=depth, deeper=deeper)
        if planes and planes != codec.protected_planes:
            codec = replace(codec, planes=planes)
        return replace(self, plain=replace(self.plain, codec=codec))

    @property
    def paper_factor(self) -> float:
        """1 / slope of the raw law, as if nothing were protected; 1 where no factor can undo the drift."""
        return correction_factor(self.plain.law, self.plain.histogram) or 1.0

    @property
    def own_factor(self) -> float:
        """1 / slope under the layer's own protection, below 1 where reading enlarges; 1 where no factor helps."""
        return correction_factor(self.plain.residual, self.plain.histogram) or 1.0

    def stored(self, correction: MeanCorrection) -> StoredGroup[PlaneProtected]:
        """The layer written and read with this correction; `NOTHING` gives `plain`."""
        if correction == NOTHING:
            return self.plain
        codec = self.codec(correction)
        return replace(self.plain, codec=codec, words=codec.encode(self.weights))

    def codec(self, correction: MeanCorrection) -> PlaneProtected:
        """How the layer is held with this correction."""
        return replace(self.plain.codec, **asdict(correction))

    def enlarged(self, factor: float) -> MeanCorrection:
        """The weights larger by a factor: in the codes, or in the readout where they came quantised."""
        return MeanCorrection(gain=factor) if self.came_quantised else MeanCorrection(factor)

    def centred(self, correction: MeanCorrection) -> MeanCorrection:
        """The correction with the offset that takes away what the flips add to all weights alike.

        offset = mean of the uncorrected codes' values - gain x mean of E[read | code] over the codes written, both in
        units of the scale, at the layer's own protection. Symmetric laws (both directions alike) keep their offset, as
        in the paper.

        Args:
            correction: its factor and gain; the offset is replaced.
        """
        if np.array_equal(self.plain.law.one_to_zero, self.plain.law.zero_to_one):
            return correction
        written = self.stored(correction)
        law = ReadLaw(written.residual)
        wanted, read = self.plain.histogram @ law.values, written.histogram @ law.conditional_mean()
        return replace(correction, offset=float(wanted - correction.gain * read) / max(written.words.size, 1))


def correction_factor(errors: CellLaw, histogram: NDArray[np.int64] | None = None) -> float | None:
    """1 / a, with a the least-squares slope of E[read | w]; None where a <= 0 and no factor can undo the drift.

    Args:
        errors: flip rates of the tensor; the paper's factor takes those before protection.
        histogram: (2^B,) how many weights hold each code (`ReadLaw.mean_slope`); all codes alike by default.

    Example:
        >>> from qtaml_codesign.bits.formats import BitFormat
        >>> from qtaml_codesign.bits.cell_law import BitErrorProfile
        >>> correction_factor(BitErrorProfile.uniform(0.10, BitFormat(8)).regions[0])
        1.25
    """
    slope = round(ReadLaw(errors).mean_slope(histogram), 15)
    return 1.0 / slope if slope > 0.0 else None


def _paper(layer: ProtectedLayer) -> MeanCorrection:
    """The paper's factor, centred."""
    return layer.centred(layer.enlarged(layer.paper_factor))


CorrectionRule = Callable[[ProtectedLayer], tuple[MeanCorrection, ...]]
"""What may be done to a layer, the least intrusive first; of several, a simulation of the layer decides."""
RULES: dict[Correction, CorrectionRule] = {
    "never": lambda layer: (NOTHING,),
    "always": lambda layer: (_paper(layer),),
    "decided": lambda layer: (NOTHING, layer.centred(NOTHING), _paper(layer)),
    "rescaled": lambda layer: (NOTHING, MeanCorrection(gain=layer.paper_factor)),
    "where-unprotected": lambda layer: (layer.centred(NOTHING) if layer.plain.codec.depth else _paper(layer),),
    "to-slope": lambda layer: (layer.centred(layer.enlarged(layer.own_factor)),),
}
"""By name: no correction; the paper's factor for all; Algorithm 1, step 3 (nothing, the offset alone, or the factor);
the same with the factor as a readout gain, which changes no code and enlarges the noise; the paper's factor where no
plane is protected; the factor of the layer's own protection and codes."""


def decide(
    workload: Workload, layers: Mapping[str, ProtectedLayer], rule: CorrectionRule, seed: int, trials: int,
    progress: Progress = lambda done, total: None,
) -> dict[str, MeanCorrection]:
    """The correction of each layer; where a rule leaves a choice, that of Algorithm 1, step 3.

    Layer l alone is noisy, the others keep their float weights. Every option is stored with the layer's protection and
    read under the same flips u(key, trial, cell); the first of those with the least mean squared deviation is kept.

    Args:
        workload: its calibration inputs are used (`samples_for`), never its labels.
        layers: every layer with its protection, by tensor name.
        rule: what comes into question.
        seed: key of the flips; they are drawn apart from those of the trials.
        trials: drawings per layer and option, R.
        progress: called with (layers done, layers to be simulated).
    """
    options = {name: tuple(dict.fromkeys(rule(layer))) for name, layer in layers.items()}
    chosen = {name: open_to[0] for name, open_to in options.items()}
    undecided = [name for name, open_to in options.items() if len(open_to) > 1]
    if not undecided:
        return chosen
    progress(0, len(undecided))
    alone = LayerAlone(workload.network, samples_for(workload))
    for done, name in enumerate(undecided, start=1):
        deviation = {option: layer_deviation(alone, layers[name].stored(option), seed, trials)
                     for option in options[name]}
        chosen[name] = min(deviation, key=deviation.__getitem__)
        progress(done, len(undecided))
    return chosen


def samples_for(workload: Workload) -> Inputs:
    """Calibration samples for simulations of one layer: all, or as many as give `MOST_LOGITS`, at even distances.

    A classifier gives C logits per sample; a language model gives its whole vocabulary at every position.

    Args:
        workload: whose calibration inputs are taken.
    """
    count, logits = sample_count(workload.calibration), workload.outputs_per_sample
    wanted = max(LEAST_SAMPLES, MOST_LOGITS // logits)
    if count <= wanted:
        return workload.calibration
    taken = torch.arange(wanted) * count // wanted
    return map_leaves(workload.calibration, lambda part: part[taken.to(part.device)])


def layer_deviation(alone: LayerAlone, group: StoredGroup[Codec], seed: int, trials: int) -> float:
    """E ||z(noisy layer) - z||^2 per calibration sample: the score of sensitivity-based protection.

    Args:
        alone: runs the network with one layer replaced.
        group: that layer in the memory.
        seed: key of the flips, which are drawn apart from those of the trials.
        trials: drawings, >= 1.

    Raises:
        InputError: no such seed.
        WorkloadError: no stored tensor has the group's name and shape.
    """
    reader = DeployedModel((group,)).prepare(seed, purpose=PURPOSE)

    def deviation(trial: int) -> float:
        """Squared distance of the logits from the clean ones, summed over outputs, averaged over samples; float64."""
        moved = alone.run(group.name, reader.read(trial).weights[group.name]).double() - alone.clean
        return float(moved.square().sum()) / moved.shape[0]

    return sum(map(deviation, range(trials))) / trials
