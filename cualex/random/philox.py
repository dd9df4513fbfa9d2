"""Random words without state: Philox4x32 with ten rounds.

A generator with a state gives other numbers when the work is divided differently. Philox has no state: it encrypts a
counter with a key, so any thread, tower or GPU draws the words of any elements, in any order, and a resumed run has no
generator to restore. Only integer products, exclusive ors and comparisons are used, so NumPy and CUDA agree to the bit.

    key      = (seed[0:32],  seed[32:40] << 24 | purpose << 16 | layer)
    counter  = (block low, block high, step low, step high)          element e is lane e % 4 of block e // 4

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11; the known answers of
its library Random123 are in the tests.
"""

import numpy as np

from cualex.errors import UsageError

# Purposes of draws. Two purposes never share a word; a number, once used, keeps its meaning, or old runs change.
DROPOUT = 2  # which units are dropped; layer: the layer's index, step: the update
ORDER = 3  # the order of the training images; step: the epoch
VIEWS = 4  # crop and mirror of a training image; step: the epoch, block: the image
DEMO = 5  # the images of the built-in demo set
COLOURS = 6  # colour noise of a training image; step: the epoch, block: the image
FRAMING = 7  # how an image is framed for the bundled network; layer: which four numbers, block: its variant

SEEDS = 1 << 40

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
# Blocks at a time, so that the working arrays (64 bits a word) stay in a core's cache.
_CHUNK = 4096


def philox4x32(counter: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Encrypt counters into random words.

    One round takes (a, b, c, d) to (hi(M1 c) ^ b ^ k0, lo(M1 c), hi(M0 a) ^ d ^ k1, lo(M0 a)); ten rounds,
    the key raised by Weyl's constants between them.

    counter: uint32 (4, n).  key: uint32 (2,).  Returns uint32 (4, n).
    """
    count = counter.shape[1]
    out = np.empty((4, count), np.uint32)
    for start in range(0, count, _CHUNK):
        chunk = slice(start, min(start + _CHUNK, count))
        a, b, c, d = counter[:, chunk].astype(np.uint64)
        k0, k1 = int(key[0]), int(key[1])
        for _ in range(10):
            a *= _MULTIPLIERS[0]
            c *= _MULTIPLIERS[1]
            b ^= c >> _HALF
            b ^= np.uint64(k0)
            d ^= a >> _HALF
            d ^= np.uint64(k1)
            a &= _LOW
            c &= _LOW
            a, b, c, d = b, c, d, a
            k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
        for lane, values in enumerate((a, b, c, d)):
            out[lane, chunk] = values
    return out


def key(seed: int, purpose: int, layer: int) -> np.ndarray:
    """Return the key of a seed, purpose (0 to 255) and layer (0 to 65535): uint32 (2,).

    Raise UsageError when the seed is not from 0 to 2**40 - 1: the key has room for no more bits, and truncating it
    would give two seeds the same numbers.
    """
    if not 0 <= seed < SEEDS:
        raise UsageError(f"seed {seed}: expected a whole number from 0 to {SEEDS - 1}")
    if not (0 <= purpose < 1 << 8 and 0 <= layer < 1 << 16):
        raise ValueError(f"purpose {purpose} and layer {layer} must fit in 8 and 16 bits")
    return np.array([seed & 0xFFFFFFFF, (seed >> 32) << 24 | purpose << 16 | layer], np.uint32)


def blocks(seed: int, purpose: int, layer: int, step: int, which: np.ndarray) -> np.ndarray:
    """Draw the four words of the blocks `which` (integers from 0, (n,)): uint32 (4, n)."""
    which = np.asarray(which, np.uint64)
    counter = np.empty((4, which.size), np.uint32)
    counter[0] = which & _LOW
    counter[1] = which >> _HALF
    counter[2] = step & 0xFFFFFFFF
    counter[3] = step >> 32
    return philox4x32(counter, key(seed, purpose, layer))


def words(seed: int, purpose: int, layer: int, step: int, count: int, first: int = 0) -> np.ndarray:
    """Draw the words of the elements `first` to `first + count - 1`: uint32 (count,).

    Element e is lane e % 4 of block e // 4, so any range can be drawn alone.
    """
    start = first // 4
    stop = -(-(first + count) // 4)
    drawn = blocks(seed, purpose, layer, step, np.arange(start, stop, dtype=np.uint64))
    return drawn.T.reshape(-1)[first - 4 * start :][:count]
