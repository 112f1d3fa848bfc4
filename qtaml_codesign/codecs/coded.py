"""Words whose cells an error-correcting code guards: what is left after decoding is all that the words see.

The B bits of each word, weight after weight, are the data of codewords of k bits in n cells. A word of the code fails
with a probability that was measured by decoding, or is known, and then its data bits are wrong together; so failures
stay clustered. Where every data bit has a codeword of its own, bits fail one by one, at exact rates that hang on the
value that is stored. `decode` encodes, flips and decodes the codewords of every reading instead.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.formats import BitFormat, Codes
from qtaml_codesign.bits.transition import law_of_words
from qtaml_codesign.codecs.by_groups import ByGroups
from qtaml_codesign.codecs.channel_optimised import ChannelOptimised
from qtaml_codesign.codecs.codec import Codec
from qtaml_codesign.codecs.codewords import Codewords, DecodedWords, FailedWords
from qtaml_codesign.ecc.code import Code, FlipRates
from qtaml_codesign.ecc.family import named_code
from qtaml_codesign.ecc.residual import WordCounts
from qtaml_codesign.errors import InputError

RATES = ("one_to_zero", "zero_to_one", "word_error_rate", "damage")
FILLED = {"codewords": "shared"}
"""How codewords are filled: stores of which this is not said were read otherwise, and their results are others."""
RATE_ERROR = 1e-9
"""Relative distance of two flip probabilities that count as one."""


@dataclass(frozen=True, repr=False)
class Coded(Codec):
    """A store whose cells are codewords of a code.

    Args:
        words: how weights become words, chosen for what the code leaves of the flips.
        code: name of the code.
        one_to_zero, zero_to_one: flip rates of the cells for which the code was measured.
        word_error_rate: probability that a codeword has wrong data bits.
        damage: share of its data bits that are then wrong.
        decode: encode, flip and decode in every reading.
        measured: the words that were decoded to know this; None in plans of earlier versions.

    Raises:
        InputError: an unknown code, or a rate outside [0, 1].
    """

    words: ChannelOptimised
    code: str
    one_to_zero: float
    zero_to_one: float
    word_error_rate: float
    damage: float
    decode: bool = False
    measured: WordCounts | None = None
    format: BitFormat = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Check the rates."""
        object.__setattr__(self, "format", self.words.format)
        for name in RATES:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError("a rate of a coded store is out of bounds", where=f"Coded({name})",
                                 rule="0 <= rate <= 1", value=getattr(self, name), next_step="make the plan again")
        if not isinstance(self.decode, bool):
            raise InputError("decode is no yes or no", where="Coded(decode)", rule="True or False", value=self.decode,
                             next_step="make the plan again")
        named_code(self.code)

    @property
    def values(self) -> NDArray[np.float32]:
        """(2^B,) as the words say."""
        return self.words.values

    @property
    def readout(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Gain and offset of each row, as the words say."""
        return self.words.readout

    @property
    def metadata_bits(self) -> int:
        """As the words say."""
        return self.words.metadata_bits

    @property
    def tables(self) -> Mapping[Hashable, int]:
        """As the words say."""
        return self.words.tables

    @property
    def summary(self) -> str:
        """Data bits and code."""
        return f"{self.format.bits} bits in {self.code}"

    @property
    def cells(self) -> float:
        """B n / k, but for the codeword that is not full (see `coded_bits`)."""
        return self.format.bits * self._code.cells_per_bit

    @property
    def coded_bits(self) -> dict[Codewords, float]:
        """B data bits for each weight."""
        return {self._failing(self.word_error_rate): float(self.format.bits)}

    def encode(self, weights: NDArray[np.floating]) -> Codes:
        """Words of weights (rows, ...), as the words say."""
        return self.words.encode(weights)

    def cell_law(self, law: CellLaw) -> CellLaw:
        """The law of the raw cells, in words of B planes.

        Raises:
            InputError: planes of the memory differ, cells are not independent and alike, or the code was measured at
                other rates.
        """
        own = law_of_words(law, self.format.bits)
        if not law.alike:
            raise InputError("what a code leaves of such flips was not measured", where=f"law of region {law.name!r}",
                             rule="cells that flip on their own, all at one rate", value=f"block {law.block}, spread "
                             f"{law.spread:g}{', own rates' if law.own_rates else ''}",
                             next_step="leave the noise model out, or use a method without codes")
        for name in ("one_to_zero", "zero_to_one"):
            given, measured = float(getattr(own, name)[0]), getattr(self, name)
            if not (self.decode or law.silent) and abs(given - measured) > RATE_ERROR * max(given, measured):
                raise InputError(
                    "what the code leaves at this flip probability was not measured", where=f"{self.code}, {name}",
                    rule=f"{measured!r}, for which the plan was made", value=repr(given),
                    next_step="make a plan for this flip probability, or decode in every trial (decode=True, --decode)",
                )
        return own

    def residual(self, law: CellLaw) -> CellLaw:
        """Data bits after decoding: each is wrong with word error rate x damage, none where no cell flips by `law`.

        Exact, and by the value of the bit, where every data bit has a codeword of its own.
        """
        rate = 0.0 if law.silent else self.word_error_rate * self.damage
        left = self._code.residual_rates(_rates(law)) or FlipRates(rate, rate)
        down, up = (np.full(self.format.bits, one) for one in (left.one_to_zero, left.zero_to_one))
        return CellLaw(law.name, self.format, down, up, law.tensors)

    def codewords(self, law: CellLaw) -> Codewords | None:
        """Codewords that fail as often as is known, or that are really decoded.

        Args:
            law: of the raw cells.

        Returns:
            None where every data bit has a codeword of its own, which is not decoded: then bits fail by `residual`.
        """
        if self.decode:
            return DecodedWords(self.code, _rates(law))
        if self._code.residual_rates(_rates(law)) is not None:
            return None
        return self._failing(0.0 if law.silent else self.word_error_rate)

    def to_json(self) -> dict[str, Any]:
        """Every field as plain values, `decode` and `measured` where they are set, and how codewords are filled."""
        own = {name: getattr(self, name) for name in ("code", *RATES)}
        more = {"decode": True} if self.decode else {}
        counts = {} if self.measured is None else {"measured": asdict(self.measured)}
        return {"codec": "coded", "words": self.words.to_json(), **own, **FILLED, **more, **counts}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Coded:
        """Read back what `to_json` wrote.

        Args:
            fields: what `to_json` gave.
        """
        own = {name: value for name, value in fields.items() if name not in ("codec", "words", *FILLED)}
        if own.get("measured") is not None:
            own["measured"] = WordCounts(**own["measured"])
        return cls(ChannelOptimised.from_json(fields["words"]), **own)

    def _failing(self, rate: float) -> FailedWords:
        """Codewords at the rates for which the code was measured, which fail with probability `rate`."""
        return FailedWords(self.code, FlipRates(self.zero_to_one, self.one_to_zero), rate, self.damage)

    @property
    def _code(self) -> Code:
        return named_code(self.code)


def _rates(law: CellLaw) -> FlipRates:
    """Of cells that are all alike."""
    return FlipRates(float(law.zero_to_one[0]), float(law.one_to_zero[0]))


def decoding(held: Codec | ByGroups) -> Codec | ByGroups:
    """The same store, but codewords are really decoded in every reading; others stay as they are.

    Args:
        held: how a tensor is held.
    """
    if isinstance(held, ByGroups):
        return replace(held, parts=tuple((groups, _decoding(codec)) for groups, codec in held.parts))
    return _decoding(held)


def _decoding(codec: Codec) -> Codec:
    return replace(codec, decode=True) if isinstance(codec, Coded) else codec
