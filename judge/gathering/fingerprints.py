"""What tells whether two instructions are nearly the same, small enough to be stored. Pure.

A signature is a MinHash (Broder 1997) of the character 5-grams of all turns but the system's; the share of
equal values in two signatures estimates the Jaccard similarity of the n-gram sets. Bands of a signature
(Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, chapter 3) are what an index finds candidates by:
two instructions of similarity 0.8 share at least one band with probability 0.991, of 0.5 with 0.32, of 0.3
with 0.03.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rensa import RMinHash

from judge.comparison import Instruction, fold

VALUES = 64
# From here on two texts are nearly the same.
SAME = 0.8
_BANDS, _ROWS = 12, 5
_NGRAM = 5
# The beginning and the end of very long texts say enough, and bound the work.
_MOST_CHARS = 20_000
_WORD_GRAM = 5
# A word, one character of a script without spaces, or one other sign.
_WORD = re.compile(
    r"[^\W\d_\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+|\d+|[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\w\s]|_"
)


@dataclass(frozen=True, slots=True)
class Print:
    """A signature as bytes (`VALUES` unsigned 32-bit numbers, little-endian) and its bands, signed 64-bit."""

    signature: bytes
    bands: tuple[int, ...]


class Index:
    """Prints in memory, found by their bands, as the database's index finds those of the pool."""

    def __init__(self) -> None:
        self._by_band: dict[int, list[tuple[str, bytes]]] = defaultdict(list)

    def add(self, key: str, one: Print) -> None:
        """Put in a print under a key."""
        for band in one.bands:
            self._by_band[band].append((key, one.signature))

    def near(self, one: Print) -> str | None:
        """The key of a print that is nearly the same."""
        for band in one.bands:
            for key, signature in self._by_band.get(band, ()):
                if similarity(one.signature, signature) >= SAME:
                    return key
        return None


def take(instruction: Instruction) -> Print:
    """The print of an instruction."""
    text = fold("\n".join(turn.content for turn in instruction.messages if turn.role != "system"))
    if len(text) > _MOST_CHARS:
        text = text[: _MOST_CHARS // 2] + text[-_MOST_CHARS // 2 :]
    minhash = RMinHash(num_perm=VALUES, seed=1)
    minhash.update([text[i : i + _NGRAM] for i in range(max(1, len(text) - _NGRAM + 1))])
    values = np.array(minhash.digest(), dtype="<u4")
    bands = tuple(
        _hash(f"{band} ".encode() + values[band * _ROWS : (band + 1) * _ROWS].tobytes())
        for band in range(_BANDS)
    )
    return Print(values.tobytes(), bands)


def repeated(prints: Sequence[Print]) -> set[int]:
    """Indexes of those that are nearly the same as an earlier one."""
    index = Index()
    found: set[int] = set()
    for place, one in enumerate(prints):
        if index.near(one) is None:
            index.add(str(place), one)
        else:
            found.add(place)
    return found


def similarity(one: bytes, other: bytes) -> float:
    """Estimate of the Jaccard similarity of two signatures' texts; standard error at most 0.063."""
    return float(np.mean(_values(one) == _values(other)))


def word_grams(text: str) -> set[int]:
    """Hashes of all runs of five words; of the whole text where it is shorter."""
    spoken = words(text)
    last = max(1, len(spoken) - _WORD_GRAM + 1)
    return {_hash("\x1f".join(spoken[i : i + _WORD_GRAM]).encode()) for i in range(last)}


def words(text: str, limit: int = _MOST_CHARS) -> list[str]:
    """Words, signs, single characters of Chinese and Japanese, folded; of the first `limit` characters."""
    return _WORD.findall(fold(text[:limit]))


def user_text(turns: Sequence[dict[str, str]]) -> str:
    """What the user said, in all turns of stored messages."""
    return "\n".join(turn["content"] for turn in turns if turn["role"] == "user")


def logged_text(turns: Sequence[dict[str, str]], response: str | None) -> str:
    """What a model in production answered: in the earlier turns of stored messages, and to the last one."""
    answers = [turn["content"] for turn in turns if turn["role"] == "assistant"]
    return "\n".join([*answers, response] if response else answers)


def _values(signature: bytes) -> npt.NDArray[np.uint32]:
    return np.frombuffer(signature, dtype="<u4")


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little", signed=True)
