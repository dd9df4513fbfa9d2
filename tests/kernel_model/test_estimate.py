"""The time of a launch: which resource limits it, part-filled waves, what L2 holds."""

from dataclasses import replace

import pytest

from cualex.errors import UsageError
from cualex.kernel_model import estimate
from cualex.kernel_model.counts import Access, Counts
from cualex.kernel_model.estimate import L2, Missed

GPU = {
    "multiprocessors": 10, "clock_hz": 1e9, "clocks_per_tensor_instruction": 8, "memory_bytes_per_s": 1e12,
    "memory_share": 0.5, "l2_bytes_per_s": 4e12, "shared_bytes_per_clock": 128, "special_per_clock": 16,
    "latency_s": 1e-6, "launch_s": 2e-6, "exponent": 3,
    "clocks_per_wgmma_column": 0.5,
}  # fmt: skip
IDLE = Counts(
    blocks=10, warps=4, resident=2, limit="registers", steps=0, main={}, instructions=0, tensor=0, special=0,
    wgmma_columns=0,
    wavefronts=0, tiles=0, loads=0, accesses=(), assumed={},
)  # fmt: skip


def parts(missed=None, **given):
    made = estimate.estimate(replace(IDLE, **given), missed or Missed(0, 0), GPU)
    return {name: each for name, each in made.parts.items() if each and name != "launch"}, made


@pytest.mark.parametrize(
    ("given", "name", "seconds"),
    [
        ({"instructions": 5000}, "issue", 5e-6),  # one a clock on each of four schedulers, a warp on each
        ({"tensor": 5000}, "tensor cores", 40e-6),
        ({"wgmma_columns": 5000}, "tensor cores", 2.5e-6),
        ({"special": 100}, "special functions", 4 * 32 * 100 / 16 * 1e-9),
        ({"wavefronts": 1000}, "shared memory", 4e-6),
        ({"tiles": 4_000_000}, "L2", 10e-6),
        ({"missed": Missed(10**6, 0)}, "memory", 1e-6),
        ({"missed": Missed(0, 10**6)}, "memory", 2e-6),
        ({"loads": 3}, "latency", 3e-6),
        ({"loads": 3, "blocks": 21}, "latency", 6e-6),  # 20 are resident
    ],
)
def test_a_resource_alone(given, name, seconds):
    found, made = parts(**given)
    assert found == {name: pytest.approx(seconds)}
    assert made.seconds == pytest.approx(2e-6 + seconds)
    assert made.limit == (name if seconds >= 2e-6 else "launch")


def test_one_block_more_than_multiprocessors_takes_twice_as_long():
    assert parts(instructions=5000, blocks=11)[0]["issue"] == pytest.approx(10e-6)
    assert parts(instructions=5000, blocks=20)[0]["issue"] == pytest.approx(10e-6)


def test_resources_overlap_though_not_fully():
    _, made = parts(instructions=5000, wavefronts=1250)
    assert made.seconds == pytest.approx(2e-6 + 5e-6 * 2 ** (1 / 3))


def launched(*accesses):
    return replace(IDLE, accesses=accesses)


def test_l2_holds_what_was_touched_last():
    cache = L2(100)
    assert cache.missed(launched(Access(0, 60, True))) == (0, 60)
    assert cache.missed(launched(Access(0, 60, False))) == (0, 0)
    assert cache.missed(launched(Access(1000, 60, False))) == (0, 60)
    assert cache.missed(launched(Access(0, 60, False))) == (0, 60)


def test_an_array_larger_than_l2_always_misses():
    cache = L2(100)
    assert [cache.missed(launched(Access(0, 101, False, prefetched=True))) for _ in range(2)] == [(101, 0)] * 2


def test_slabs_never_leave_l2():
    assert L2(100).missed(launched(Access(0, 500, True, scratch=True))) == (0, 0)


def test_every_constant_has_a_reason():
    said = estimate.constants()["90"]
    assert all(set(each) == {"value", "why"} and each["why"] for each in said.values())
    assert set(estimate.gpu(90)) == {*GPU, "gpu", "l2_bytes"}


def test_every_architecture_has_limits():
    from cualex.kernels.architectures import ARCHITECTURES

    assert [estimate.limits(each)["warps"] for each in ARCHITECTURES] == [32, 64, 48, 48, 64, 64, 48]
    with pytest.raises(UsageError, match=r"^--arch 70: expected 75, 80, 86, 89, 90, 100, 120$"):
        estimate.limits(70)
    assert estimate.gpu(80) is None
