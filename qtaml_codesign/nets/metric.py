"""What is measured on a network's outputs: a score per sample, and how its mean is shown, bounded and compared."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from qtaml_codesign.errors import InputError, did_you_mean, shown
from qtaml_codesign.nets.scores import absolute_error, binary_cross_entropy, label_is_right, squared_error
from qtaml_codesign.nets.target import T, Target
from qtaml_codesign.statistics import Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

SHOWN: dict[str, tuple[Callable[[float], Any], Callable[[float], Any]]] = {
    "mean": (lambda mean: mean, lambda mean: 1.0),
    "exp": (np.exp, np.exp),
    "root": (np.sqrt, lambda mean: 0.5 / np.sqrt(mean)),
}
"""How a mean of scores is shown: the function and its derivative; both rise."""

FAR_SHARE = 0.2

TARGETS = ("classes", "values", "binary", "clean")
VALUED = ("values", "binary")
"""Targets of the outputs' own shape: no class is chosen."""
_TAKEN = ("thickness_nm", "flip_probability", "method", "budget", "overhead", "trials", "nominal_ber", "realised_ber",
          "image_half_width", "status")


@dataclass(frozen=True)
class Metric:
    """What is measured: one score per sample (or per token), their mean, and which way is better.

    Args:
        name: for tables and columns, which are named after it with _ for -.
        score: score(outputs, targets) -> one score for each sample of a batch, (n, ...): bool where a sample is right
            or wrong (these are kept as exact counts), else real numbers. A NaN counts as the worst bound, and so does
            an infinity on the better side.
        larger_is_better: the direction in which targets are kept.
        bounds: the lowest and the highest score there can be; intervals end there.
        shown: the mean as it is ("mean"), its exponential ("exp") or its square root ("root").
        targets: what the outputs are scored against: "classes", whole numbers (N, ...) for logits (N, ..., C);
            "values", real numbers of the outputs' shape; "binary", zeros and ones of that shape; "clean", the classes
            that the clean network itself chooses, so that no labels are needed.

    A function at the top level of a file travels to other processes; a lambda does not.

    Raises:
        InputError: a field that cannot be that.

    Example:
        >>> margin = Metric("margin", lambda outputs, targets: outputs.max(dim=-1).values, bounds=(-np.inf, np.inf))
        >>> margin.column, margin.worst, float(PERPLEXITY.show(math.log(12.0)).round(9))
        ('margin', -inf, 12.0)
    """

    name: str
    score: Callable[[Tensor, Tensor], Tensor]
    larger_is_better: bool = True
    bounds: tuple[float, float] = (0.0, 1.0)
    shown: Literal["mean", "exp", "root"] = "mean"
    targets: Literal["classes", "values", "binary", "clean"] = "classes"

    def __post_init__(self) -> None:
        named = isinstance(self.name, str) and re.fullmatch(r"[A-Za-z][\w-]*", self.name)
        rules = {
            "name": (bool(named) and self.column not in _TAKEN, "letters, digits, - and _; no column of its own"),
            "score": (callable(self.score), "a function of outputs and targets"),
            "bounds": (_are_bounds(self.bounds), "(lowest, highest score)"),
            "shown": (self.shown in (*SHOWN,) and not (self.shown == "root" and self.bounds[0] < 0.0),
                      f"one of {', '.join(SHOWN)}; a root of scores >= 0"),
            "targets": (self.targets in TARGETS, f"one of {', '.join(TARGETS)}"),
        }
        for field, (kept, rule) in rules.items():
            if not kept:
                raise InputError(f"the {field} of a metric cannot be that", where=f"Metric({field}=...)", rule=rule,
                                 value=shown(getattr(self, field)), next_step="see help(qtaml_codesign.Metric)")

    @property
    def column(self) -> str:
        """Name of its column in `sweep.csv`."""
        return self.name.replace("-", "_")

    @property
    def columns(self) -> tuple[str, str, str]:
        """Names of the columns of its value and of the two ends of its interval."""
        return self.column, f"{self.column}_low", f"{self.column}_high"

    @property
    def clean_column(self) -> str:
        """Name of the column of the clean network's value."""
        return f"clean_{self.column}"

    @property
    def worst(self) -> float:
        """The worst score there can be."""
        return self.bounds[0 if self.larger_is_better else 1]

    @property
    def limits(self) -> tuple[float, float]:
        """The smallest and the largest value there can be, as shown."""
        return self.show(self.bounds[0]), self.show(self.bounds[1])

    @property
    def is_bounded(self) -> bool:
        """Whether both limits are finite."""
        return bool(np.isfinite(self.limits).all())

    @property
    def usual_target(self) -> Target:
        """What a sweep keeps unless told otherwise: 0.95 x clean, or 1.05 x clean where smaller is better."""
        return Target(0.95 if self.larger_is_better else 1.05)

    def show(self, mean: float) -> Any:
        """A mean of scores as it is shown; inf where it is beyond the largest float."""
        with np.errstate(over="ignore"):
            return SHOWN[self.shown][0](mean)

    def slope(self, mean: float) -> Any:
        """Derivative of `show` at a mean of scores; inf for a root at 0."""
        with np.errstate(over="ignore", divide="ignore"):
            return SHOWN[self.shown][1](mean)

    def steepened(self, sums: NDArray[Any], mean: float) -> NDArray[np.float64]:
        """(G,) `sums` of scores times the slope at their mean; zeros stay zeros where the slope of a root is infinite.

        Example:
            >>> METRICS["rmse"].steepened(np.array([1.0, 0.0]), mean=0.25).tolist()
            [1.0, 0.0]
        """
        found = np.zeros(sums.shape)
        np.multiply(self.slope(mean), sums, where=sums != 0.0, out=found)
        return found

    def text(self, value: float) -> str:
        """A value for the eye: four decimals of one in 0..1, else six digits."""
        return f"{value:.4f}" if self.limits == (0.0, 1.0) else f"{value:.6g}"

    def show_interval(self, means: Interval) -> Interval:
        """An interval of `means` of scores, as it is shown."""
        return means if self.shown == "mean" else Interval(*(float(self.show(mean)) for mean in means))

    def check_target(self, target: Target, clean: float, strictly: bool = False) -> None:
        """Refuse a target that is better than the clean value (as shown), or `strictly` as good; NaN refuses nothing.

        Raises:
            InputError: no flips could keep the target.
        """
        margin = self.margin(clean, target.value(clean))
        if margin > 0.0 or (margin == 0.0 and not strictly) or math.isnan(clean):
            return
        raise InputError(
            f"the target is not worse than the clean {self.name}: no flips could keep it", where="target (--target)",
            rule=f"a target {'below' if self.larger_is_better else 'above'} the clean {self.name}, {clean:.6g}",
            value=target.of(self.name) + (f" = {target.value(clean):.6g}" if target.factor else ""),
            next_step=f"for instance {self._worse_than(clean).of(self.name)}",
        )

    def _worse_than(self, clean: float) -> Target:
        """The usual target, or a distance where a part of the clean value, 0 or below, is none the worse."""
        usual = self.usual_target
        if self.margin(clean, usual.value(clean)) > 0.0:
            return usual
        return Target(1.0, (-1.0 if self.larger_is_better else 1.0) * (abs(usual.factor - 1.0) * abs(clean) or 0.1))

    def tolerance(
        self, values: NDArray[np.float64], half_width: float, target: float | None
    ) -> NDArray[np.float64]:
        """How well values (...) are to be known: to `half_width`; of a metric without bounds, which may run off by
        orders of magnitude, to a part of the distance from the target (`FAR_SHARE`) where that is more. All are as
        shown; the target None: there is none.

        Example:
            >>> PERPLEXITY.tolerance(np.array([12.0, 1e6]), half_width=0.1, target=12.5).tolist()
            [0.1, 199997.5]
        """
        if target is None or self.is_bounded:
            return np.full_like(values, half_width)
        return np.maximum(half_width, FAR_SHARE * np.nan_to_num(np.abs(values - target), posinf=0.0))

    def margin(self, values: T, threshold: T) -> T:
        """By how much values (as shown) are better than a threshold; >= 0 keeps it. NaN keeps nothing.

        Example:
            >>> float(ACCURACY.margin(0.75, 0.5)), float(PERPLEXITY.margin(0.75, 0.5))
            (0.25, -0.25)
        """
        return values - threshold if self.larger_is_better else threshold - values


def _are_bounds(given: Any) -> bool:
    pair = isinstance(given, tuple) and len(given) == 2 and all(isinstance(end, int | float) for end in given)
    return pair and bool(given[0] < given[1])


def is_right(outputs: Tensor, targets: Tensor) -> Tensor:
    """Whether the largest logit, the first of equals, is that of the target; a sample with a NaN logit is wrong.

    Args:
        outputs: logits (n, ..., C).
        targets: classes (n, ...).
    """
    return InTop(1)(outputs, targets)


@dataclass(frozen=True)
class InTop:
    """Whether the target is among the `most` largest logits, the first of equals; as `is_right` otherwise."""

    most: int

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        own = outputs.gather(-1, targets[..., None])
        before = (outputs == own).cumsum(-1).gather(-1, targets[..., None])[..., 0] - 1
        return ((outputs > own).sum(-1) + before < self.most) & ~outputs.isnan().any(-1)


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Negative log-likelihood, (n, ...), in nats, of targets (n, ...) for outputs (n, ..., C) that are logits."""
    logits = outputs if outputs.element_size() >= 4 else outputs.float()
    return -logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0]


ACCURACY = Metric("accuracy", is_right)
PERPLEXITY = Metric("perplexity", cross_entropy, False, (0.0, math.inf), "exp")
METRICS = {metric.name: metric for metric in (
    ACCURACY,
    Metric("cross-entropy", cross_entropy, False, (0.0, math.inf)),
    PERPLEXITY,
    Metric("rmse", squared_error, False, (0.0, math.inf), "root", "values"),
    Metric("mae", absolute_error, False, (0.0, math.inf), "mean", "values"),
    Metric("label-accuracy", label_is_right, targets="binary"),
    Metric("binary-cross-entropy", binary_cross_entropy, False, (0.0, math.inf), targets="binary"),
    Metric("agreement", is_right, targets="clean"),
)}
"""The metrics by name; `top-K` stands for every K."""

METRIC_LIST = ("accuracy, top-K (K >= 1, such as top-5), cross-entropy, perplexity, rmse, mae, label-accuracy, "
               "binary-cross-entropy or agreement (with the clean network)")


def as_metric(given: str | Metric) -> Metric:
    """A metric by its name, or the caller's own.

    Args:
        given: a name (`METRIC_LIST`), or a metric, which is given back as it is.

    Raises:
        InputError: there is none of that name, or one of one's own has the name of another.

    Example:
        >>> as_metric("top-5").score
        InTop(most=5)
    """
    name = given.name if isinstance(given, Metric) else given if isinstance(given, str) else ""
    found = re.fullmatch(r"top-([1-9]\d{0,5})", name)
    known = Metric(name, InTop(int(found[1]))) if found else METRICS.get(name)
    if isinstance(given, Metric):
        if known not in (None, given):
            raise InputError("this is the name of a metric that is there already", where="Metric(name=...)",
                             rule=f"another name than {METRIC_LIST}", value=name,
                             next_step=f"call it for instance own-{name}, or pass metric={name!r} to measure that one")
        return given
    if known is None:
        raise InputError("unknown metric", where="metric (--metric)", rule=f"{METRIC_LIST}; or a Metric",
                         value=shown(given, str), next_step=did_you_mean(given, [*METRICS, "top-5"]))
    return known


def is_shipped(metric: Metric) -> bool:
    """Whether this is a `metric` that its name alone finds again."""
    return isinstance(metric.score, InTop) or metric in METRICS.values()


def accuracy_of(metric: Metric, value: float) -> float:
    """The value of a metric, if it is an accuracy.

    Raises:
        InputError: another metric was measured.
    """
    if metric == ACCURACY:
        return value
    raise InputError("no accuracy was measured here", where="accuracy", rule="the metric accuracy", value=metric.name,
                     next_step="read .value and .clean_value, or measure with_metric('accuracy')")
