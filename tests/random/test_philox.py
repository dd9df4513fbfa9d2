"""The random words: known answers, and the way elements are numbered."""

import numpy as np
import pytest

from cualex.errors import UsageError
from cualex.random import philox

# Random123's kat_vectors, philox4x32 with 10 rounds: counter, key, answer.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def hexadecimal(text):
    return np.array([int(word, 16) for word in text.split()], np.uint32)


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_known_answers(counter, key, answer):
    # A second column, so that a fault in one lane of the vector cannot hide; more than one chunk long.
    count = philox._CHUNK + 3
    counters = np.repeat(hexadecimal(counter)[:, None], count, axis=1)
    given = counters.copy()
    words = philox.philox4x32(counters, hexadecimal(key))
    assert words.dtype == np.uint32
    assert (words == hexadecimal(answer)[:, None]).all()
    assert (counters == given).all()


def test_counter_and_key_are_put_together_as_documented():
    # The second opinion: a plain loop over Python's integers.
    def block(counter, key):
        a, b, c, d = counter
        k0, k1 = key
        for _ in range(10):
            p, q = a * 0xD2511F53, c * 0xCD9E8D57
            a, b, c, d = (q >> 32) ^ b ^ k0, q & 0xFFFFFFFF, (p >> 32) ^ d ^ k1, p & 0xFFFFFFFF
            k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
        return a, b, c, d

    seed, purpose, layer, step = (0xAB << 32) + 0x12345678, 7, 0x321, (5 << 32) + 9
    which = np.array([0, 1, (3 << 32) + 2, 77], np.uint64)
    drawn = philox.blocks(seed, purpose, layer, step, which)
    key = (0x12345678, 0xAB << 24 | 7 << 16 | 0x321)
    for column, number in enumerate(which.tolist()):
        expected = block((number & 0xFFFFFFFF, number >> 32, 9, 5), key)
        assert tuple(drawn[:, column].tolist()) == expected


@pytest.mark.parametrize("first", [0, 1, 2, 3, 4, 4095 * 4 + 3])
@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 29])
def test_any_range_of_elements_is_a_part_of_the_whole(first, count):
    whole = philox.words(11, philox.DROPOUT, 6, 3, 4096 * 4 + 40)
    part = philox.words(11, philox.DROPOUT, 6, 3, count, first)
    assert part.shape == (count,)
    assert (part == whole[first : first + count]).all()


def test_element_is_a_lane_of_a_block():
    drawn = philox.blocks(1, 2, 3, 4, np.arange(5))
    assert philox.words(1, 2, 3, 4, 20).tolist() == [int(drawn[e % 4, e // 4]) for e in range(20)]


def test_every_argument_changes_the_words():
    base = {"seed": 1, "purpose": 2, "layer": 3, "step": 4, "count": 64}
    first = philox.words(**base)
    for name in ("seed", "purpose", "layer", "step"):
        for other in (base[name] + 1, base[name] + (1 << 32) if name in ("seed", "step") else base[name] + 2):
            assert (philox.words(**base | {name: other}) != first).mean() > 0.9, (name, other)


@pytest.mark.parametrize("seed", [-1, 1 << 40])
def test_a_seed_that_does_not_fit_is_refused(seed):
    with pytest.raises(UsageError, match=rf"^seed {seed}: expected a whole number from 0 to 1099511627775$"):
        philox.words(seed, 1, 0, 0, 4)
