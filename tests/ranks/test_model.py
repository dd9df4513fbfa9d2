"""What ranks send, and how long it takes: the formulas by hand, the table of the specification, the command."""

import json

import pytest
from click.testing import CliRunner

from cualex import networks
from cualex.benchmark import scaling
from cualex.cli import main
from cualex.ranks import model
from cualex.ranks.model import Link, Machines, Sizes, estimate
from tests.support import json_keys

ALEXNET = Sizes(60_965_224, 58_631_144, 9216 + 4096 + 4096, 4096 + 4096 + 1000)
NVLINK, NIC = Link(370e9, 20e-6), Link(48e9, 46e-6)
H200 = Machines(NVLINK, NIC, 8, compute=1.30e-3, memory=4.3e12, halved=True)
# GPUs: milliseconds of sum and split at 128 images a rank, and seconds of 95 epochs, as the specification rounds them.
TABLE = {
    1: (1.30, 1.30, 21 * 60, 60),
    2: (1.5, 1.5, 12 * 60, 60),
    8: (2.0, 1.5, 3 * 60, 60),
    64: (2.3, 2.1, 31, 1),
    512: (2.8, 2.4, 4, 1),
}


@pytest.mark.parametrize("ranks", TABLE)
def test_the_table_of_the_specification(ranks):
    whole, split, training, unit = TABLE[ranks]
    found = estimate(ALEXNET, ranks, 128, H200)
    assert round(found.sum.seconds * 1e3, 1) == whole
    assert round(found.split.seconds * 1e3, 1) == split
    fastest = min(found.sum.seconds, found.split.seconds)
    assert unit * round(95 * 1_281_167 * fastest / (128 * ranks) / unit) == training


def test_the_sizes_are_those_of_the_network():
    assert scaling.sizes(networks.build("alexnet")) == ALEXNET


def test_bytes_at_eight_ranks_of_128_images():
    """427 MB of gradients; 98 MB with dense layers split, of which 82 MB are maps."""
    found = estimate(ALEXNET, 8, 128, Machines(NVLINK))
    assert found.sum == model.Update(round(2 * 4 * 60_965_224 * 7 / 8), 0, None)
    assert round(found.sum.bytes / 1e6) == 427
    maps = 2 * 128 * 7 * (9192 + 17408 / 8) * 4
    assert found.split == model.Update(round(maps + 2 * 4 * 2_334_080 * 7 / 8), 0, None)
    assert round(found.split.bytes / 1e6) == 98


@pytest.mark.parametrize(("ranks", "inside"), [(2, 8), (8, 8), (64, 8), (24, 4), (48, 16), (36, 12), (3, 3), (512, 8)])
def test_two_levels_send_no_more_in_all_than_one(ranks, inside):
    one, two = (estimate(ALEXNET, ranks, 64, Machines(NVLINK, far, inside)) for far in (None, NIC))
    assert two.sum.bytes == one.sum.bytes == pytest.approx(2 * 4 * ALEXNET.parameters * (ranks - 1) / ranks, abs=1)
    assert one.sum.bytes_between == one.split.bytes_between == 0
    machines = two.machines
    assert two.sum.bytes_between == pytest.approx(
        2 * 4 * ALEXNET.parameters / min(ranks, inside) * (machines - 1) / machines, abs=1
    )
    groups, group = ranks // two.group, two.group
    maps = 2 * 64 * (group - 1) * (9192 + 17408 / group) * 4
    rest = 2 * 4 * (ALEXNET.others * (ranks - 1) / ranks + ALEXNET.dense_parameters / group * (groups - 1) / groups)
    assert two.split.bytes == pytest.approx(maps + rest, abs=1)


@pytest.mark.parametrize(
    ("ranks", "inside", "group"), [(1, 8, 1), (2, 8, 2), (6, 8, 2), (8, 8, 8), (64, 8, 8), (7, 7, 1)]
)
def test_groups_are_powers_of_two_up_to_eight(ranks, inside, group):
    assert estimate(ALEXNET, ranks, 1, Machines(NVLINK, NIC, inside)).group == group


def test_split_sends_less_below_about_5_000_images_a_group():
    """Without the convolutions' sums, which both have: D / (O + I / G) images a group of 8, 5,158."""
    for images, less in ((600, True), (660, False)):
        found = estimate(ALEXNET, 8, images, Machines(NVLINK))
        assert (found.split.bytes < found.sum.bytes) == less


def test_one_rank_sends_nothing_and_takes_its_own_time():
    found = estimate(ALEXNET, 1, 128, H200)
    assert found.sum == found.split == model.Update(0, 0, 1.30e-3)


def test_ranks_that_do_not_fill_machines_are_refused():
    with pytest.raises(ValueError, match="12 ranks do not fill machines of 8"):
        estimate(ALEXNET, 12, 1, H200)


# --- the command


def run(*words):
    return CliRunner().invoke(main, ["summary", *map(str, words)])


def test_the_command_prints_bytes_times_and_assumptions():
    words = ("--ranks", "8,64,512", "--link", "370,20", "--link", "48,46", "--compute", 1.3, "--precision", "bf16")
    result = run(*words)
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.output.splitlines() if line.strip().startswith(("8 ", "64 ", "512 "))]
    assert [(row[0], row[1], row[3], row[5]) for row in rows] == [
        ("8", "128", "426.8", "77.5"),
        ("64", "128", "480.1", "130.8"),
        ("512", "128", "486.8", "137.5"),
    ]
    assert "An estimate, not measured: 1.3 ms of computing a rank, of which 52%" in result.output
    assert "370 GB/s and 20 us within machines of 8, 48 GB/s and 46 us between" in result.output


def test_the_command_prints_the_table_of_the_specification():
    rates = ("--link", "370,20", "--link", "48,46", "--memory-rate", 4300)
    result = run("--ranks", "1,2,8,64,512", *rates, "--compute", 1.3, "--precision", "bf16")
    rows = [line.split() for line in result.output.splitlines() if line.strip()[:1].isdigit()]
    assert {int(row[0]): (round(float(row[4]), 1), round(float(row[6]), 1)) for row in rows} == {
        ranks: row[:2] for ranks, row in TABLE.items()
    }
    assert "; memory at 4300 GB/s." in result.output


def test_json_has_the_same_numbers():
    result = json.loads(run("--ranks", 8, "-b", 1024, "--link", "1.1,60", "--compute", 2977, "--json").stdout)
    assert json_keys.faults(["summary", "--ranks"], result) == []
    (found,) = result["ranks"]
    assert (found["ranks"], found["images"], found["group"], found["machines"]) == (8, 128, 8, 1)
    assert (found["sum"]["bytes"], found["split"]["bytes"]) == (426_756_568, 97_824_384)
    expected = estimate(ALEXNET, 8, 128, Machines(Link(1.1e9, 60e-6), compute=2.977))
    assert found["sum"]["seconds"] == expected.sum.seconds
    assert result["assumptions"]["links"] == [{"bytes_per_s": 1.1e9, "latency_s": pytest.approx(60e-6)}]


def test_without_times_it_says_what_is_missing():
    result = run("--ranks", 2)
    assert "No times: give --link and --compute." in result.output
    assert "No times: give --link." in run("--ranks", 2, "--compute", 5).output
    assert "No times: give --compute." in run("--ranks", 2, "--link", "1.1,60").output
    assert "243.9" in result.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--ranks", "0"), "'0': expected numbers of ranks of at least 1, as 8,64"),
        (("--ranks", "8", "--link", "fast"), "'fast': expected GB/s and microseconds, as 1.1,60"),
        (("--ranks", "8", "-b", "100"), "batch size 100 cannot be dealt to 8 ranks: give a multiple of 8 as -b"),
        (("--ranks", "12", "--link", "1,1", "--link", "1,1"), "--ranks 12: 12 ranks do not fill machines of 8"),
        (("--link", "1,1"), "--link, --compute and --memory-rate belong to --ranks: add it, as --ranks 8."),
        (("--ranks", "8", "--memory"), "--ranks and --memory print different tables: leave one of them out."),
    ],
)
def test_what_cannot_be_is_said(words, said):
    result = run(*words)
    assert result.exit_code == 2
    assert said in result.output


# --- planted faults


@pytest.mark.parametrize(
    ("name", "value"), [("HIDDEN", 0.2), ("LATENCIES", 1), ("DEALS", 2), ("SPARED", 0), ("FOR_EACH_MACHINE", 0.0)]
)
def test_another_constant_is_found_by_the_table(monkeypatch, name, value):
    monkeypatch.setattr(model, name, value)
    failed = 0
    for ranks in TABLE:
        try:
            test_the_table_of_the_specification(ranks)
        except AssertionError:
            failed += 1
    assert failed
