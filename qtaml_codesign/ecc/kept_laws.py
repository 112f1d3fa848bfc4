"""Residual laws that are measured once and kept in a folder, one small JSON file each."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from qtaml_codesign.checks import whole_number
from qtaml_codesign.ecc.code import Code, FlipRates, flip_rates
from qtaml_codesign.ecc.residual import ResidualLaw, WordCounts, measure
from qtaml_codesign.errors import InputError, StoreError
from qtaml_codesign.files import write_whole

VERSION = 1
"""Part of every file's name: laws of other decoders, or drawn in another way, are not looked at."""

LEAST_WORDS, LEAST_BITS = 2000, 10**6


def kept_law(
    code: Code, flip_probability: object, folder: Path, words: int | None = None, seed: int = 0
) -> ResidualLaw:
    """The residual law as it is kept in the folder; else it is measured, and kept there.

    The file is named by what the law depends on: codewords, rates, words and seed. One that cannot be read as such a
    law is measured again and replaced. Where the folder cannot be written to, the law is measured every time.

    Args:
        code: any code.
        flip_probability: of every cell, as `flip_rates` takes it.
        folder: such as one in the user's cache; made where it is missing.
        words: words to decode; by default as many as hold 10^6 data bits, and 2,000 at least.
        seed: of the drawing.

    Raises:
        InputError: a rate outside [0, 1], or other bad numbers.
    """
    rates = flip_rates(flip_probability)
    count = max(LEAST_WORDS, -(-LEAST_BITS // code.k)) if words is None else whole_number("words", words, least=1)
    path = folder / f"{code.name}-{_digest(code, rates, count, whole_number('seed', seed, least=0))}.json"
    try:
        return _from_json(code, rates, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, InputError):
        law = measure(code, rates, count, seed)
    with suppress(OSError, StoreError):  # a folder that cannot be written to costs time, and nothing else
        folder.mkdir(parents=True, exist_ok=True)
        write_law(path, law)
    return law


def write_law(path: Path, law: ResidualLaw) -> ResidualLaw:
    """Keep a law in a file, whole or not at all.

    Args:
        path: the file.
        law: what is kept; its closed form is not, since the code gives it again.

    Returns:
        The law.
    """
    content = {"code": law.code, "rates": list(law.rates), **asdict(law.counts), "seed": law.seed}
    write_whole(path, json.dumps(content, indent=1).encode(), "folder")
    return law


def _from_json(code: Code, rates: FlipRates, content: dict[str, Any]) -> ResidualLaw:
    """The law of a file; those of earlier versions hold error patterns too, which nothing asks for any more."""
    counts = WordCounts(**{field.name: content[field.name] for field in fields(WordCounts)})
    return ResidualLaw(code.name, code.n, code.k, rates, counts, content["seed"], code.closed_form(rates))


def _digest(code: Code, rates: FlipRates, words: int, seed: int) -> str:
    """16 hexadecimal digits; eight codewords stand for the code, so that another graph of one name is another law."""
    data = np.random.default_rng(VERSION).integers(0, 2, (8, code.k), dtype=np.uint8)
    identity = json.dumps([VERSION, code.name, code.encode_bits(data).tobytes().hex(), *rates, words, seed])
    return hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()
