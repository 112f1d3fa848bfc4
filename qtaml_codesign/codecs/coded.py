"""Words whose cells an error-correcting code guards: what is left after decoding is all that the words see.

The B bits of each word, weight after weight, are the data of codewords of k bits in n cells. A word of the code fails
with a probability that was measured by decoding, or is known, and then its data bits are wrong together; so failures
stay clustered. `decode` encodes, flips and decodes the codewords of every reading instead.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.flips import FlipKey
from qtaml_codesign.bits.formats import BitFormat, Codes
from qtaml_codesign.bits.transition import law_of_words
from qtaml_codesign.codecs.by_groups import ByGroups
from qtaml_codesign.codecs.channel_optimised import ChannelOptimised
from qtaml_codesign.codecs.codec import Codec, Drawing
from qtaml_codesign.ecc.code import Code, FlipRates
from qtaml_codesign.ecc.family import named_code
from qtaml_codesign.errors import InputError

RATES = ("one_to_zero", "zero_to_one", "word_error_rate", "damage")
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
    def coded_bits(self) -> dict[tuple[int, int], int]:
        """Data bits for each weight in words of n cells and k data bits."""
        return {(self._code.n, self._code.k): self.format.bits}

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
        if law.block != 1 or law.spread != 0.0:
            raise InputError("what a code leaves of such flips was not measured", where=f"law of region {law.name!r}",
                             rule="cells that flip on their own, all at one rate", value=f"block {law.block}, spread "
                             f"{law.spread:g}", next_step="leave the noise model out, or use a method without codes")
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
        """Data bits after decoding: each is wrong with word error rate x damage, none where no cell flips by `law`."""
        rate = np.full(self.format.bits, 0.0 if law.silent else self.word_error_rate * self.damage)
        return CellLaw(law.name, self.format, rate, rate, law.tensors)

    def drawing(self, law: CellLaw, key: FlipKey) -> Drawing:
        """Data bits that fail word by word, or codewords that are really decoded.

        Args:
            law: of the raw cells.
            key: of the group.
        """
        if not self.decode:
            lost = 0.0 if law.silent else self.word_error_rate
            return FailedWords(self._code.k, self.format, lost, self.damage, key)
        rates = FlipRates(float(law.zero_to_one[0]), float(law.one_to_zero[0]))
        return DecodedWords(self._code, self.format, rates, key)

    def to_json(self) -> dict[str, Any]:
        """Every field as plain values; `decode` where it is set."""
        own = {name: getattr(self, name) for name in ("code", *RATES)}
        return {"codec": "coded", "words": self.words.to_json(), **own, **({"decode": True} if self.decode else {})}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Coded:
        """Read back what `to_json` wrote.

        Args:
            fields: what `to_json` gave.
        """
        own = {name: value for name, value in fields.items() if name not in ("codec", "words")}
        return cls(ChannelOptimised.from_json(fields["words"]), **own)

    @cached_property
    def _code(self) -> Code:
        return named_code(self.code)


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


@dataclass(frozen=True)
class FailedWords:
    """Draws the data errors of codewords that fail, each with its own number and damage.

    Args:
        k: data bits of a codeword.
        format: of the words of weights.
        rate: probability that a codeword fails.
        damage: probability that a data bit of one that failed is wrong.
        key: of the group.
    """

    k: int
    format: BitFormat
    rate: float
    damage: float
    key: FlipKey

    def draw(self, codes: Codes, trial: int) -> tuple[Codes, NDArray[np.int64]]:
        """Words (n,) of the group `codes` as drawing `trial` leaves them, and wrong bits by plane (B,)."""
        random, bits = keyed(self.key, trial), self.format.bits
        total = codes.size * bits
        failed = np.flatnonzero(random.random(-(-total // self.k)) < self.rate)
        wrong = np.nonzero(random.random((failed.size, self.k)) < self.damage)
        places = failed[wrong[0]] * self.k + wrong[1]
        places = places[places < total]
        read = codes.copy()
        np.bitwise_xor.at(read, places // bits, (1 << places % bits).astype(codes.dtype))
        return read, np.bincount(places % bits, minlength=bits)


@dataclass(frozen=True)
class DecodedWords:
    """Encodes the words of a group, flips their cells, and decodes them.

    Args:
        code: the code.
        format: of the words of weights.
        rates: of the cells.
        key: of the group.
    """

    code: Code
    format: BitFormat
    rates: FlipRates
    key: FlipKey

    def draw(self, codes: Codes, trial: int) -> tuple[Codes, NDArray[np.int64]]:
        """Words (n,) of the group `codes` as drawing `trial` leaves them, and wrong bits by plane (B,)."""
        random, bits = keyed(self.key, trial), self.format.bits
        data = (codes[:, None] >> np.arange(bits) & 1).astype(np.uint8).reshape(-1)
        padded = np.zeros(-(-data.size // self.code.k) * self.code.k, np.uint8)
        padded[: data.size] = data
        cells = self.code.encode(padded.reshape(-1, self.code.k))
        flips = random.random(cells.shape) < np.where(cells == 1, self.rates.one_to_zero, self.rates.zero_to_one)
        found = self.code.decode(cells ^ flips, tuple(self.rates)).bits.reshape(-1)[: data.size]
        wrong = (found ^ data).reshape(-1, bits)
        weight = (found.reshape(-1, bits).astype(np.uint32) << np.arange(bits, dtype=np.uint32)).sum(axis=1)
        return weight.astype(codes.dtype), wrong.sum(axis=0, dtype=np.int64)


def keyed(key: FlipKey, trial: int) -> np.random.Generator:
    """Random numbers of one drawing of a group, by its `key` and `trial`."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([*key.words, trial])))
