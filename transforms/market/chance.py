"""Chance by counting: every random number is a hash of (seed, seller, purpose, time), so that no order of work, number
of partitions or rerun can change it. A generator that is drawn from in turn would depend on all three.
"""

import zlib

import numpy as np
import numpy.typing as npt
from pyspark.sql import Column
from pyspark.sql import functions as F

Floats = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
_Words = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_UNIT = 2.0**-53


def _mix(words: _Words) -> _Words:
    """The finaliser of splitmix64: each input bit flips each output bit in half of all cases."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


class Chance:
    """Random numbers of some sellers (or, without sellers, of the world itself)."""

    def __init__(self, seed: int, numbers: Longs) -> None:
        self._numbers = numbers
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        """From here on, the numbers of another seed."""
        start = np.array([seed], dtype=np.uint64) + _GOLDEN
        self._keys = _mix(_mix(start) ^ (self._numbers.astype(np.uint64) * _GOLDEN + np.uint64(1)))

    def uniform(self, purpose: str, time: int | Longs = 0, of: Longs | None = None) -> Floats:
        """Between 0 and 1, both excluded; one a seller, or one for each index in `of`."""
        keys = self._keys if of is None else self._keys[of]
        salt = np.array([zlib.crc32(purpose.encode())], dtype=np.uint64) << np.uint64(32)
        words = _mix(keys ^ _mix(salt + np.asarray(time).astype(np.uint64)))
        return ((words >> np.uint64(11)).astype(np.float64) + 0.5) * _UNIT

    def between(
        self, purpose: str, ends: tuple[float, float], time: int | Longs = 0, of: Longs | None = None
    ) -> Floats:
        """Uniform between two ends."""
        return ends[0] + (ends[1] - ends[0]) * self.uniform(purpose, time, of)

    def normal(self, purpose: str, time: int | Longs = 0, of: Longs | None = None) -> Floats:
        """Standard normal, by Box and Muller."""
        radius = np.sqrt(-2.0 * np.log(self.uniform(purpose + "/radius", time, of)))
        return radius * np.cos(2.0 * np.pi * self.uniform(purpose + "/angle", time, of))

    def poisson(self, purpose: str, mean: Floats, time: int = 0) -> Longs:
        """Poisson counts; from a mean of 30 on the rounded normal, whose error is then under a tenth of an order."""
        uniform = self.uniform(purpose, time)
        small = np.where(mean < 30.0, mean, 0.0)
        term = np.exp(-small)
        below = term.copy()
        counts = np.zeros(len(mean), dtype=np.int64)
        for number in range(1, 90):
            missing = uniform > below
            if not missing.any():
                break
            counts += missing
            term = term * small / number
            below = below + np.where(missing, term, 0.0)
        large = np.rint(mean + np.sqrt(mean) * self.normal(purpose + "/large", time)).astype(np.int64)
        return np.where(mean < 30.0, counts, np.maximum(large, 0))


def uniform_column(seed: int, purpose: str, *columns: str) -> Column:
    """Between 0 and 1: the hash of the seed, the purpose and the columns' values."""
    words = F.xxhash64(F.lit(seed), F.lit(purpose), *(F.col(name) for name in columns))
    return (F.shiftrightunsigned(words, 11) + F.lit(0.5)) * F.lit(_UNIT)


def whole_column(seed: int, purpose: str, below: int, *columns: str) -> Column:
    """A whole number from 0 to `below` - 1."""
    return F.pmod(F.xxhash64(F.lit(seed), F.lit(purpose), *(F.col(name) for name in columns)), F.lit(below))
