"""The law of one read weight, closed form against Monte Carlo (section 5.1, Figure 1; Theorems 3.1, 3.2, 3.4).

Six panels: the PMF of the deviation; its conditional mean on the line -2pw - pD; its variance, the same for every
stored weight; the MSB's share of it; Lyapunov ratio and excess kurtosis, which do not vanish with the bit count and
grow as p falls; and the output of a layer, which becomes Gaussian with width although its weights do not.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

import qtaml_codesign as qc
from lab.claims import Claim, holds
from lab.figures import COLOURS, new_figure
from lab.study import Scale, Study

RATE = 0.10
PMF_CODE = 90
BITS = (2, 3, 4, 6, 8, 10, 12)
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3)
WIDTHS = (1, 4, 16, 64, 256, 1024, 4096)
LEVEL = 1e-6
"""Family-wise false-failure rate of each Monte Carlo claim (Bonferroni over what it compares)."""


def cases(scale: Scale) -> list[dict[str, Any]]:
    """One case per panel and point; the smoke version draws a tenth and stops at width 256."""
    draws = 40_000 if scale.smoke else 400_000
    widths = WIDTHS[:5] if scale.smoke else WIDTHS
    found: list[dict[str, Any]] = [{"kind": "pmf", "bits": 8, "rate": RATE, "draws": draws}]
    found += [{"kind": "moments", "bits": 8, "rate": RATE, "code": code, "draws": draws} for code in range(0, 256, 15)]
    found += [{"kind": "shape", "bits": bits, "rate": RATE, "draws": draws} for bits in BITS]
    found += [{"kind": "shape", "bits": 8, "rate": rate, "draws": 5 * draws} for rate in RATES if rate != RATE]
    found += [{"kind": "width", "width": width, "rate": RATE, "draws": draws // 20} for width in widths]
    return found


def measure(case: dict[str, Any], networks: Path) -> list[dict[str, Any]]:
    """Rows of one panel; every drawing is keyed by its case."""
    kinds = {"pmf": measure_pmf, "moments": measure_moments, "shape": measure_shape, "width": measure_width}
    return kinds[case["kind"]](case)


def law_of(case: dict[str, Any]) -> qc.ReadLaw:
    """Closed form for one rate and bit count."""
    return qc.ReadLaw(qc.BitErrorProfile.uniform(case["rate"], qc.BitFormat(case.get("bits", 8))).regions[0])


def deviations(case: dict[str, Any], code: int) -> np.ndarray:
    """(draws,) read minus stored value of one code."""
    bits, draws = case["bits"], case["draws"]
    stored = np.full(draws, code, np.uint16)
    read = qc.read_back(stored, case["rate"], bits, seed=code, tensor=f"{case['kind']} {bits} {case['rate']}")
    return law_of(case).values[read] - law_of(case).values[code]


def measure_pmf(case: dict[str, Any]) -> list[dict[str, Any]]:
    """Probability and count of every read value of one stored code."""
    values, predicted = law_of(case).pmf(PMF_CODE)
    moved = deviations(case, PMF_CODE) + law_of(case).values[PMF_CODE]
    counts = np.bincount(np.searchsorted(values, moved), minlength=values.size)
    return [{"value": value, "predicted": chance, "count": int(count)}
            for value, chance, count in zip(values, predicted, counts, strict=True)]


def measure_moments(case: dict[str, Any]) -> list[dict[str, Any]]:
    """Conditional mean and variance of one code, with the standard errors that the law gives them."""
    law, code = law_of(case), case["code"]
    found, variance = deviations(case, code), float(law.variance([code])[0])
    fourth = float(law.excess_kurtosis([code])[0]) + 3.0
    return [{
        "value": float(law.values[code]), "mean": found.mean(), "mean_predicted": float(law.drift([code])[0]),
        "mean_error": math.sqrt(variance / found.size), "variance": found.var(ddof=1), "variance_predicted": variance,
        "variance_error": variance * math.sqrt((fourth - 1.0) / found.size),
    }]


def measure_shape(case: dict[str, Any]) -> list[dict[str, Any]]:
    """MSB share, Lyapunov ratio and excess kurtosis of code 0, with a standard error over 20 batches."""
    law, bits = law_of(case), case["bits"]
    found = deviations(case, 0) - float(law.drift([0])[0])
    top = np.where(found + float(law.drift([0])[0]) >= 1.0, 1.0, 0.0) - case["rate"]
    variance = float(law.variance([0])[0])
    batches = [float((part**4).mean() / variance**2 - 3.0) for part in np.array_split(found, 20)]
    return [{
        "share": float(top.var() / found.var()), "share_predicted": law.msb_share(),
        "two_planes": (4**bits - 4**(bits - 2)) / (4**bits - 1), "lyapunov": float(law.lyapunov_ratio([0])[0]),
        "kurtosis": float((found**4).mean() / variance**2 - 3.0),
        "kurtosis_error": float(np.std(batches, ddof=1) / math.sqrt(20)),
        "kurtosis_predicted": float(law.excess_kurtosis([0])[0]),
    }]


def measure_width(case: dict[str, Any]) -> list[dict[str, Any]]:
    """Output sum_j delta_j x_j of `width` stored weights: excess kurtosis, and distance from the normal law."""
    width, draws, law = case["width"], case["draws"], law_of(case)
    generator = np.random.default_rng(width)
    codes, inputs = generator.integers(0, 256, width).astype(np.uint8), generator.standard_normal(width)
    chunks = [_outputs(case, codes, inputs, chunk, min(500, draws - start))
              for chunk, start in enumerate(range(0, draws, 500))]
    outputs = np.concatenate(chunks)
    variance = float(inputs**2 @ law.variance(codes))
    standard = (outputs - inputs @ law.drift(codes)) / math.sqrt(variance)
    fourth = float(inputs**4 @ (law.excess_kurtosis(codes) * law.variance(codes) ** 2))
    batches = [float((part**4).mean()) for part in np.array_split(standard, 20)]
    return [{
        "kurtosis": float((standard**4).mean() - 3.0), "kurtosis_error": float(np.std(batches, ddof=1) / math.sqrt(20)),
        "kurtosis_predicted": fourth / variance**2, "distance": float(stats.kstest(standard, "norm").statistic),
        "distance_noise": 1.36 / math.sqrt(draws),
    }]


def _outputs(case: dict[str, Any], codes: np.ndarray, inputs: np.ndarray, chunk: int, count: int) -> np.ndarray:
    values = law_of(case).values
    stored = np.broadcast_to(codes, (count, codes.size))
    read = qc.read_back(stored, case["rate"], seed=chunk, tensor=f"width {codes.size}")
    return (values[read] - values[codes]) @ inputs


def part(rows: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Rows of one kind of case."""
    return rows[rows["kind"] == kind]


def largest_deviation(measured: pd.Series, predicted: pd.Series, error: pd.Series) -> tuple[float, float]:
    """Largest |measured - predicted| in standard errors, and the bound that chance exceeds with probability LEVEL."""
    bound = float(stats.norm.isf(LEVEL / 2.0 / len(measured)))
    return float(((measured - predicted).abs() / error).max()), bound


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One line per theorem: what was compared, the largest deviation, its bound."""
    compared = {
        "PMF of one code": _pmf_test(rows), "conditional mean": _moment_test(rows, "mean"),
        "conditional variance": _moment_test(rows, "variance"),
    }
    return pd.DataFrame([
        {"quantity": name, "points": points, "largest deviation (standard errors)": f"{worst:.2f}",
         "bound for a false alarm in a million": f"{bound:.2f}"}
        for name, (points, worst, bound) in compared.items()
    ])


def _pmf_test(rows: pd.DataFrame) -> tuple[int, float, float]:
    """Read values expected 10 times or more; their counts are nearly normal."""
    found = part(rows, "pmf")
    draws = found["draws"].iloc[0]
    found = found[found["predicted"] * draws >= 10.0]
    expected = found["predicted"] * draws
    error = np.sqrt(expected * (1.0 - found["predicted"]))
    return len(found), *largest_deviation(found["count"], expected, error)


def _moment_test(rows: pd.DataFrame, name: str) -> tuple[int, float, float]:
    found = part(rows, "moments")
    return len(found), *largest_deviation(found[name], found[f"{name}_predicted"], found[f"{name}_error"])


def figure(rows: pd.DataFrame) -> Figure:
    """Figure 1 of the paper in six panels."""
    drawn, axes = new_figure(2, 3, width=5.0, height=3.8)
    panels = (_draw_pmf, _draw_mean, _draw_variance, _draw_share, _draw_shape, _draw_width)
    for axis, draw in zip(axes.ravel(), panels, strict=True):
        draw(axis, rows)
    return drawn


def _draw_pmf(axis: Any, rows: pd.DataFrame) -> None:
    found = part(rows, "pmf")
    draws, seen = found["draws"].iloc[0], found[found["count"] > 0]
    error = np.sqrt(seen["count"]) / draws
    axis.vlines(found["value"], 1e-9, found["predicted"], color=COLOURS[0], linewidth=1.0, alpha=0.7,
                label="closed form")
    axis.errorbar(seen["value"], seen["count"] / draws, yerr=error, fmt="o", markersize=2.5, color=COLOURS[1],
                  linewidth=0.8, label=f"Monte Carlo, {draws:,} reads")
    axis.set(yscale="log", ylim=(1e-6, 2.0), xlabel=f"read value (stored: {(PMF_CODE - 128) / 128:.3f})",
             ylabel="probability", title=f"PMF, B = 8, p = {RATE:g}")
    axis.legend(loc="upper left", ncols=2, fontsize=8.5)


def _draw_mean(axis: Any, rows: pd.DataFrame) -> None:
    found = part(rows, "moments")
    axis.plot(found["value"], found["mean_predicted"], color=COLOURS[0], label="-2pw - pD")
    axis.errorbar(found["value"], found["mean"], yerr=1.96 * found["mean_error"], fmt="o", color=COLOURS[1],
                  label="Monte Carlo, 95 %", capsize=2)
    axis.set(xlabel="stored value w", ylabel="mean deviation", title="Affine drift of the mean")
    axis.legend()


def _draw_variance(axis: Any, rows: pd.DataFrame) -> None:
    found = part(rows, "moments")
    axis.axhline(found["variance_predicted"].iloc[0], color=COLOURS[0], label="p(1-p) D² (4^B - 1) / 3")
    axis.errorbar(found["value"], found["variance"], yerr=1.96 * found["variance_error"], fmt="o", color=COLOURS[1],
                  label="Monte Carlo, 95 %", capsize=2)
    centre = found["variance_predicted"].iloc[0]
    axis.set(xlabel="stored value w", ylabel="variance of the deviation", ylim=(0.97 * centre, 1.04 * centre),
             title="Variance, the same for every w")
    axis.legend(loc="upper left")


def _draw_share(axis: Any, rows: pd.DataFrame) -> None:
    found = part(rows, "shape")
    found = found[found["rate"] == RATE]
    axis.plot(found["bits"], found["share_predicted"], color=COLOURS[0], label="MSB, closed form")
    axis.plot(found["bits"], found["share"], "o", color=COLOURS[1], label="MSB, Monte Carlo")
    axis.plot(found["bits"], found["two_planes"], color=COLOURS[2], linestyle="--", label="two top planes")
    axis.axhline(0.75, color="#777777", linewidth=1.0, linestyle=":", label="3/4")
    axis.set(xlabel="bits per weight B", ylabel="share of the variance", ylim=(0.7, 1.02), title="MSB share")
    axis.legend(ncols=2, fontsize=8.5)


def _draw_shape(axis: Any, rows: pd.DataFrame) -> None:
    found = part(rows, "shape")
    by_rate = found[found["bits"] == 8].sort_values("rate")
    axis.plot(by_rate["rate"], by_rate["kurtosis_predicted"], color=COLOURS[0], label="excess kurtosis, closed form")
    axis.errorbar(by_rate["rate"], by_rate["kurtosis"], yerr=1.96 * by_rate["kurtosis_error"], fmt="o",
                  color=COLOURS[1], label="excess kurtosis, Monte Carlo")
    axis.plot(by_rate["rate"], by_rate["lyapunov"], color=COLOURS[2], linestyle="--", label="Lyapunov ratio")
    axis.plot(by_rate["rate"], 3.0 * math.sqrt(3.0) / (7.0 * np.sqrt(by_rate["rate"])), color="#777777", linestyle=":",
              label="3√3 / (7 √p)")
    axis.set(xscale="log", yscale="log", xlabel="flip probability p", ylabel="excess kurtosis, Lyapunov ratio",
             title="Not Gaussian, the less the smaller p (B = 8)")
    axis.legend(fontsize=8.5)


def _draw_width(axis: Any, rows: pd.DataFrame) -> None:
    found = part(rows, "width")
    axis.plot(found["width"], found["kurtosis_predicted"], color=COLOURS[0], label="excess kurtosis, closed form")
    shown = found[found["kurtosis"] > 2.0 * found["kurtosis_error"]]
    axis.errorbar(shown["width"], shown["kurtosis"], yerr=1.96 * shown["kurtosis_error"], fmt="o", color=COLOURS[1],
                  label="excess kurtosis, Monte Carlo")
    axis.plot(found["width"], found["distance"], "s--", color=COLOURS[2], label="Kolmogorov-Smirnov distance")
    axis.plot(found["width"], found["distance_noise"], color="#777777", linestyle=":", label="95 % of its noise")
    axis.set(xscale="log", yscale="log", xlabel="weights summed in one output", ylabel="distance from Gaussian",
             title="Layer output against width")
    axis.legend(fontsize=8.5)


def claims(rows: pd.DataFrame) -> list[Claim]:
    """Section 5.1 and Theorems 3.1 to 3.5."""
    found = [_compared("5.1-pmf", "3.1, 5.1, Fig. 1", "the closed-form PMF matches Monte Carlo", _pmf_test(rows)),
             _compared("5.1-mean", "3.2, 5.1, Fig. 1", "the conditional mean lies on the line -2pw - pD",
                       _moment_test(rows, "mean")),
             _compared("5.1-variance", "A.11, 5.1, Fig. 1", "the variance does not depend on the stored weight",
                       _moment_test(rows, "variance"))]
    return [*found, *_shape_claims(part(rows, "shape")), *_width_claims(part(rows, "width"))]


def _compared(key: str, where: str, statement: str, test: tuple[int, float, float]) -> Claim:
    points, worst, bound = test
    text = f"{points} points, largest deviation {worst:.2f} standard errors; a false alarm in a million at {bound:.2f}"
    return Claim(key, where, statement, text, holds(worst < bound),
                 f"A deviation of {worst:.2f} standard errors is no chance.")


def _shape_claims(found: pd.DataFrame) -> list[Claim]:
    eight, wide = found[found["bits"] == 8].sort_values("rate"), found[found["rate"] == RATE].sort_values("bits")
    share = float(eight["share_predicted"].iloc[0])
    rarest = eight.iloc[0]
    limit = 3.0 * math.sqrt(3.0) / (7.0 * math.sqrt(rarest["rate"]))
    scaled = float(rarest["kurtosis_predicted"] * rarest["rate"] / 0.6)
    return [
        Claim("5.1-share", "3.4, 5.1, Fig. 1", "the MSB carries three quarters of the variance",
              f"B = 8: {share:.6f} exactly, Monte Carlo {eight[eight['rate'] == RATE]['share'].iloc[0]:.4f}; "
              f"two planes {eight['two_planes'].iloc[0]:.4f}", holds(abs(share - 0.75) < 1e-4)),
        Claim("3.4-lyapunov", "3.4, A.5", "the Lyapunov ratio does not vanish as B grows",
              f"p = {RATE:g}: {wide['lyapunov'].iloc[0]:.3f} at B = {wide['bits'].iloc[0]}, "
              f"{wide['lyapunov'].iloc[-1]:.3f} at "
              f"B = {wide['bits'].iloc[-1]}", holds(bool((wide["lyapunov"] > 1.0).all()))),
        Claim("3.4-small-p", "3.4, A.5", "for small p the Lyapunov ratio grows like 3 sqrt(3) / (7 sqrt(p))",
              f"p = {rarest['rate']:g}: {rarest['lyapunov']:.3f} against {limit:.3f} (exact sums, B = 8)",
              holds(abs(rarest["lyapunov"] / limit - 1.0) < 0.01)),
        Claim("A.6-kurtosis", "A.6", "excess kurtosis grows like 1/p in the rare-event regime",
              f"p = {rarest['rate']:g}: {rarest['kurtosis_predicted']:.1f}, {scaled:.3f} of the limit (3/5)/p; Monte "
              "Carlo "
              f"{rarest['kurtosis']:.1f} +- {1.96 * rarest['kurtosis_error']:.1f}", holds(abs(scaled - 1.0) < 0.02)),
    ]


def _width_claims(found: pd.DataFrame) -> list[Claim]:
    one, widest = found.iloc[0], found.iloc[-1]
    slope = float(np.polyfit(np.log(found["width"].iloc[2:]), np.log(found["kurtosis_predicted"].iloc[2:]), 1)[0])
    worst, _ = largest_deviation(found["kurtosis"], found["kurtosis_predicted"], found["kurtosis_error"])
    return [Claim(
        "3.5-width", "Remark 3.5, 5.1, Fig. 1", "layer outputs become more Gaussian with width",
        f"excess kurtosis {one['kurtosis_predicted']:.2f} at width 1, {widest['kurtosis_predicted']:.4f} at "
        f"{widest['width']:.0f} (slope {slope:.2f} in log-log); Kolmogorov-Smirnov distance {one['distance']:.3f} to "
        f"{widest['distance']:.4f}, noise {widest['distance_noise']:.4f}; Monte Carlo within {worst:.1f} standard "
        "errors of 20 batches",
        holds(widest["distance"] < 0.2 * one["distance"] and abs(slope + 1.0) < 0.25),
        f"The slope of the excess kurtosis is {slope:.2f} where sums of independent terms give -1.",
    )]


STUDY = Study(
    name="distribution", title="The law of one read weight", where="section 5.1, Figure 1",
    cases=cases, measure=measure, figure=figure, table=table, claims=claims,
    sample="400,000 reads per point, 2 million for small p, 20,000 layer outputs per width",
    decided_by_smoke=("5.1-pmf", "5.1-mean", "5.1-variance", "5.1-share", "3.4-lyapunov", "3.4-small-p", "A.6-kurtosis",
                      "3.5-width"),
)

if __name__ == "__main__":
    STUDY.main()
