"""What real codes leave of the flips: lost words and wrong bits against the flip probability of the cells.

Random data are encoded, the cells flip, and the words are decoded. Words with no more flips than a code always corrects
are not drawn: their share is known in closed form, so that a rate of 10^-6 takes no more words than one of 0.1. Beside
each curve stands the flip probability at which the code's rate is the capacity of the cells: no code of that rate works
to its right.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import optimize, stats

from lab.claims import Claim, above, all_of, below, holds
from lab.figures import MARKERS, in_order, new_figure
from lab.study import Scale, Study
from qtaml_codesign.ecc.family import CODES, named_code
from qtaml_codesign.ecc.limits import capacity
from qtaml_codesign.ecc.residual import measure as decode
from qtaml_codesign.statistics import Interval

LDPC = tuple(name for name in CODES if name.startswith("ldpc"))
OTHERS = ("repetition-3", "repetition-5", "repetition-9", "hamming-7-4", "secded-39-32", "secded-72-64",
          "bch-127-64-10", "bch-255-191-8", "bch-1023-513-57", "bch-1023-923-10")
QUICK = ("repetition-3", "hamming-7-4", "secded-72-64")
FAR, NEAR = (0.66, 0.72, 0.78), (0.82, 0.86, 0.90, 0.94)
"""Flip probabilities at which LDPC codes are decoded, as shares of the one at which their rate is capacity."""
HIGH_RATE, FARTHER = 0.85, (0.46, 0.56)
"""Codes of so high a rate fall short of capacity by more, and are decoded further from it too."""
WIDE = (0.03, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8)
"""The same for the other codes, whose errors vanish slowly."""
FAR_WORDS, NEAR_WORDS = 800, 300
LEAST_BITS, SLOW_WORDS = 10**6, 500
TAKEN = {"ldpc-9600-4368": 0.10, "ldpc-9600-6144": 0.05}
"""The codes that plans take at the flip probabilities of the other studies."""
TAKEN_WORDS = 6000
ONE_IN_A_HUNDRED, ONE_IN_A_THOUSAND, SHARE = 1e-2, 1e-3, 0.75


def cases(scale: Scale) -> list[dict[str, Any]]:
    """Codes, flip probabilities and numbers of words."""
    if scale.smoke:
        few = [("ldpc-9600-4368", share, 30) for share in (0.72, 0.86, 0.94)]
        few += [(name, share, 20_000) for name in QUICK for share in WIDE[::3]]
        return [_case(name, share * limit(name), words) for name, share, words in few]
    found = [_case(name, share * limit(name), words) for name in LDPC
             for shares, words in ((FAR, FAR_WORDS), (NEAR, NEAR_WORDS)) for share in shares]
    found += [_case(name, share * limit(name), FAR_WORDS) for name in LDPC if named_code(name).rate > HIGH_RATE
              for share in FARTHER]
    found += [_case(name, share * limit(name), words_of(name)) for name in OTHERS for share in WIDE]
    return [*found, *(_case(name, rate, TAKEN_WORDS) for name, rate in TAKEN.items())]


def _case(name: str, rate: float, words: int) -> dict[str, Any]:
    return {"code": name, "rate": float(f"{rate:.4g}"), "words": words}


def words_of(name: str) -> int:
    """As many words as hold 10^6 data bits; of the long BCH codes, whose decoder is slow, 500."""
    return SLOW_WORDS if name.startswith("bch-1023") else -(-LEAST_BITS // named_code(name).k)


def limit(name: str) -> float:
    """The flip probability at which the rate of a code is the capacity of the cells."""
    rate = named_code(name).rate
    return float(optimize.brentq(lambda p: float(capacity(p)) - rate, 1e-9, 0.5))


def measure(case: dict[str, Any], networks: Path) -> list[dict[str, Any]]:
    """One row: counts of the words that were decoded, and the rates with their intervals."""
    law = decode(named_code(case["code"]), case["rate"], case["words"])
    rates = {f"{what}{end}": value for what, found in (("word", law.word_error_rate), ("bit", law.bit_error_rate))
             for end, value in zip(("", "_low", "_high"), found, strict=True)}
    exact = {} if law.exact is None else {"exact_word": law.exact.word, "exact_bit": law.exact.bit}
    return [{"n": law.n, "k": law.k, "wrong": law.counts.wrong, "wrong_bits": law.counts.wrong_bits,
             "reported": law.counts.reported, "share": law.counts.share, **rates, **exact}]


def curves(rows: pd.DataFrame, ldpc: bool) -> dict[str, pd.DataFrame]:
    """Points of each code, by rising flip probability; the codes by rising rate."""
    chosen = rows[rows["code"].str.startswith("ldpc") == ldpc]
    found = {str(name): group.sort_values("rate") for name, group in chosen.groupby("code", sort=False)}
    return dict(sorted(found.items(), key=lambda item: named_code(item[0]).rate))


CURVE = ("word", "word_high", "word_low")


def crossing(points: pd.DataFrame, column: str, level: float = ONE_IN_A_HUNDRED) -> float:
    """The flip probability at which a rising curve passes a level, straight lines between points in logarithms.

    The first or the last point where the curve does not come that far.
    """
    height = np.maximum.accumulate(np.log(np.maximum(points[column].to_numpy(float), 1e-12)))
    return float(np.exp(np.interp(np.log(level), height, np.log(points["rate"].to_numpy(float)))))


def share_of_capacity(name: str, points: pd.DataFrame) -> Interval:
    """Rate of a code over the capacity of cells in which it loses a word in 100, by the curve and its interval."""
    rate = named_code(name).rate
    return Interval(*(rate / float(capacity(crossing(points, column))) for column in CURVE))


def rate_text(estimate: float, low: float, high: float) -> str:
    """A small rate with its interval; where nothing was lost its upper end alone."""
    return f"{estimate:.2g} [{low:.2g}, {high:.2g}]" if estimate else f"< {high:.2g}"


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Each code in its waterfall: where it loses a word in a hundred, and the measured point nearest to that."""
    lines = []
    for ldpc in (True, False):
        for name, points in curves(rows, ldpc).items():
            code, p, share = named_code(name), crossing(points, "word"), share_of_capacity(name, points)
            beyond = float(points["word"].min()) > ONE_IN_A_HUNDRED
            near = points.iloc[(np.log(points["rate"]) - np.log(p)).abs().argmin()]
            lines.append({
                "code": name, "cells per bit": f"{code.cells_per_bit:.3g}", "capacity limit p": f"{limit(name):.3g}",
                "p at a word error rate of 0.01": f"< {p:.3g}" if beyond else f"{p:.3g} ["
                    f"{crossing(points, 'word_high'):.3g}, {crossing(points, 'word_low'):.3g}]",
                "rate / capacity there": f"< {share.estimate:.3f}" if beyond else
                    f"{share.estimate:.3f} [{share.low:.3f}, {share.high:.3f}]",
                "nearest point p": f"{near['rate']:.3g}",
                "word error rate": rate_text(near["word"], near["word_low"], near["word_high"]),
                "residual bit error rate": rate_text(near["bit"], near["bit_low"], near["bit_high"]),
                "words decoded (lost)": f"{near['words']:.0f} ({near['wrong']:.0f})",
            })
    return pd.DataFrame(lines)


def taken(rows: pd.DataFrame) -> pd.DataFrame:
    """Points of the codes that plans take, at the flip probabilities of plans."""
    return rows[[TAKEN.get(name) == rate for name, rate in zip(rows["code"], rows["rate"], strict=True)]]


def exact_points(rows: pd.DataFrame) -> pd.DataFrame:
    """Points with a closed form, with the probability of counts as far off as those that were seen."""
    known = rows[rows["exact_word"].notna()]
    chance = [stats.binomtest(int(row.wrong), int(row.words), min(1.0, row.exact_word / row.share)).pvalue
              for row in known.itertuples()]
    return known.assign(chance=chance, held=(known["word_low"] <= known["exact_word"] * (1.0 + 1e-9))
                        & (known["exact_word"] <= known["word_high"] * (1.0 + 1e-9)))


def second_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Codes as plans take them, and closed forms beside what was decoded, at the highest and the lowest rate."""
    lines = [{"code": row.code, "p": f"{row.rate:g}", "word error rate, decoded":
              rate_text(row.word, row.word_low, row.word_high), "closed form": "",
              "words decoded (lost)": f"{row.words} ({row.wrong})"} for row in taken(rows).itertuples()]
    for _, points in exact_points(rows).groupby("code", sort=False):
        lines += [{
            "code": row.code, "p": f"{row.rate:.3g}",
            "word error rate, decoded": f"{row.word:.4g} [{row.word_low:.4g}, {row.word_high:.4g}]",
            "closed form": f"{row.exact_word:.4g}", "words decoded (lost)": f"{row.words} ({row.wrong})",
        } for row in points.sort_values("rate").iloc[[0, -1]].itertuples()]
    return pd.DataFrame(lines)


def figure(rows: pd.DataFrame) -> Figure:
    """Word error rate and residual bit error rate, LDPC codes above, the others below; capacity limits as ticks."""
    drawn, axes = new_figure(2, 2, width=6.6, height=4.6)
    for line, ldpc in enumerate((True, False)):
        found = curves(rows, ldpc)
        colours = in_order(len(found))
        for (name, points), colour, index in zip(found.items(), colours, range(len(found)), strict=True):
            for column, what in enumerate(("word", "bit")):
                _draw(axes[line, column], points, what, colour, MARKERS[0 if ldpc else index % len(MARKERS)], name)
                axes[line, column].plot([limit(name)] * 2, [0.93, 1.0], color=colour, linewidth=2.2,
                                        transform=axes[line, column].get_xaxis_transform())
        for column, label in enumerate(("word error rate", "residual bit error rate of the data")):
            axes[line, column].set(xscale="log", yscale="log", xlabel="flip probability of the cells", ylabel=label)
        axes[line, 0].set_ylim(1e-4 if ldpc else 1e-6, 3.0)
        axes[line, 1].set_ylim(1e-6 if ldpc else 1e-8, 1.0)
        axes[line, 1].legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), title="thick tick: capacity limit")
        axes[line, 0].set_title("LDPC codes of 9,600 cells" if ldpc else "Repetition, Hamming, SECDED and BCH")
    return drawn


def _draw(axes: Any, points: pd.DataFrame, what: str, colour: str, marker: str, name: str) -> None:
    """One curve with intervals; where nothing was lost, an open triangle at the upper end of the interval."""
    seen, none = points[points[what] > 0.0], points[points[what] == 0.0]
    errors = np.array([seen[what] - seen[f"{what}_low"], seen[f"{what}_high"] - seen[what]])
    axes.errorbar(seen["rate"], seen[what], yerr=np.maximum(errors, 0.0), color=colour, marker=marker, markersize=4,
                  linewidth=1.2, elinewidth=1.0, capsize=2, label=name)
    axes.plot(none["rate"], none[f"{what}_high"], color=colour, marker="v", markersize=5, markerfacecolor="white",
              linestyle="")


def claims(rows: pd.DataFrame) -> list[Claim]:
    """Closed forms hold, plans take codes that lose few words, and LDPC codes come near to capacity."""
    known = exact_points(rows)
    least = float(known["chance"].min()) * len(known)
    found = [Claim(
        "codes-closed-form", "repetition, Hamming, SECDED", "decoded words fail as often as the closed forms say",
        f"{known['held'].sum()} of {len(known)} intervals of 95 % hold the closed form", holds(least > 1e-3),
        f"The point that is furthest off has a chance of {least:.2g} among {len(known)}.", kind="ours")]
    for row in taken(rows).itertuples():
        rate = Interval(row.word, row.word_low, row.word_high)
        found.append(Claim(
            f"codes-{row.code}", f"p = {row.rate:g}", f"{row.code}, which plans take, loses less than a word in 1,000",
            f"{rate_text(*rate)}, {row.wrong} of {row.words:,} words", below(rate, ONE_IN_A_THOUSAND),
            f"It loses {rate_text(*rate)}.", kind="ours"))
    shares = {name: share_of_capacity(name, points) for name, points in curves(rows, ldpc=True).items()}
    worst = min(shares, key=lambda name: shares[name].estimate)
    text = "{:.3f} [{:.3f}, {:.3f}]".format(*shares[worst])
    found.append(Claim(
        "codes-capacity", "LDPC codes", f"each keeps 99 words of 100 at {SHARE:g} of the capacity of its cells or more",
        f"the worst, {worst}, at {text}", all_of(above(share, SHARE) for share in shares.values()),
        f"{worst} does so at {text}.", kind="ours"))
    return found


STUDY = Study(
    name="code_residuals", title="What codes leave of the flips", where="real codewords, decoded",
    cases=cases, measure=measure, figure=figure, table=table, claims=claims, second_table=second_table,
    decided_by_smoke=("codes-closed-form",), most_seeds=1,
    sample="random data; numbers of words in the tables, intervals of 95 % (Clopper-Pearson)",
)

if __name__ == "__main__":
    STUDY.main()
