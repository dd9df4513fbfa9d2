"""What runs beside what: sums of intervals, one step on two emulated GPUs, and how it is drawn and said."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cualex.benchmark import problem
from cualex.cli import _profile
from cualex.devices import placement
from cualex.plots import timeline
from cualex.profiling import overlap, trace
from cualex.profiling import profile as profiles
from cualex.profiling.overlap import COMPUTE, HOST, LINK, Overlap, Span
from tests.support import small_alexnet

# Two devices for ten seconds; the second idles from 4 to 6, while the first link is on its way.
BY_HAND = Overlap(
    (
        Span(0, COMPUTE, 0, 1, 0.0, 3.0),
        Span(0, COMPUTE, 1, 1, 3.0, 2.0),
        Span(1, COMPUTE, 0, 1, 1.0, 3.0),
        Span(1, LINK, 2, 100, 4.5, 1.5),
        Span(0, LINK, 2, 100, 7.0, 2.0),
        Span(1, COMPUTE, 3, 1, 6.0, 4.0),
        Span(0, HOST, -1, 1000, -1.0, 2.0),
        Span(1, HOST, -1, 1000, 5.0, 0.5),
    )
)


def test_what_lies_beside_what_is_added_up():
    assert BY_HAND.seconds == 10
    assert (BY_HAND.busy(0), BY_HAND.busy(1)) == (5, 7)
    assert BY_HAND.together == 3
    assert BY_HAND.links == 3.5
    assert BY_HAND.links_hidden == 2.5
    assert [BY_HAND.hidden(load) for load in BY_HAND.loads()] == [1.0, 0.0]


def test_intervals_that_overlap_count_once():
    assert overlap.length([(5, 6), (0, 2), (1, 3), (1, 2)]) == 4
    assert overlap.length([]) == 0
    assert overlap.common([(0, 2), (4, 5)], [(1, 4.5)]) == 1.5


@pytest.fixture(scope="module")
def measured(emulated):
    """Profile a step of training on two GPUs."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(placement, "CupyRuntime", emulated)
        given = problem.make(small_alexnet.network(width=1 / 16), 2)
        *_, found = profiles.profile(given, "train", "cuda:0,cuda:1", 1, precision="fp32", side=32, copied=2**12)
    return found


@pytest.mark.slow
def test_every_step_and_every_copy_is_between_two_clocks(measured):
    made = measured.overlap
    steps = [span for span in made.spans if span.stream != HOST]
    assert [span.step for span in steps] == list(range(len(measured.rows)))
    assert [span.stream == LINK for span in steps] == [row.kind == "link" for row in measured.rows]
    stored = small_alexnet.network().stored
    numbers = 2 * stored * stored * 3 + 2 * 3 * 4 + 2 * 3 * 4
    assert [load.bytes for load in made.loads()] == [numbers + 2 * 4, numbers]  # the labels go to the first alone
    assert all(span.seconds >= 0 for span in made.spans)
    assert min(span.began for span in steps) == 0


@pytest.mark.slow
def test_links_of_one_exchange_begin_before_either_has_ended(measured):
    """Both directions at once: neither waits for the other. In the emulator's order, by which its clocks count."""
    names = [
        (measured.rows[s.step].name, measured.rows[s.step].direction, s.place) for s in measured.overlap.spans[:-2]
    ]
    links = [name for name in names if name[0].startswith("link")]
    assert links == [
        *((f"link {layer}", "forward", place) for layer in ("conv3", "fc6", "fc7") for place in (0, 1)),
        ("link fc8", "forward", 0),
        ("link fc8", "backward", 1),
        *((f"link {layer}", "backward", place) for layer in ("fc7", "fc6", "conv3") for place in (0, 1)),
    ]


def test_the_document_has_units_and_devices(measured):
    found = replace(measured, passes=(replace(measured.passes[0], overlap=BY_HAND),)).document()["overlap"]
    assert found["milliseconds"] == 10_000
    assert found["devices"] == [
        {"device": "cuda:0", "busy_milliseconds": 5000},
        {"device": "cuda:1", "busy_milliseconds": 7000},
    ]
    assert (found["together_milliseconds"], found["links_milliseconds"]) == (3000, 3500)
    assert found["links_hidden_milliseconds"] == 2500
    first = {"device": "cuda:0", "bytes": 1000, "milliseconds": 2000, "hidden_milliseconds": 1000}
    assert found["host_copies"][0] == first


def test_the_trace_has_a_row_a_stream(measured, tmp_path):
    trace.write(measured, tmp_path / "step.json")
    events = json.loads((tmp_path / "step.json").read_text())["traceEvents"]
    names = {each["tid"]: each["args"]["name"] for each in events if each["name"] == "thread_name"}
    streams = [f"cuda:{place}{stream}" for place in (0, 1) for stream in (f", tower {place + 1}", ", links to it")]
    assert set(names.values()) == {*streams, "cuda:0, copies from the host", "cuda:1, copies from the host"}
    bars = [each for each in events if each["ph"] == "X"]
    assert len(bars) == len(measured.rows) + 2
    assert {names[each["tid"]] for each in bars if each["name"] == "next batch"} == {
        "cuda:0, copies from the host",
        "cuda:1, copies from the host",
    }


@pytest.mark.slow
def test_the_timeline_is_drawn_in_the_colours_of_its_legend(measured, tmp_path):
    timeline.draw(measured, tmp_path / "step.png")
    pixels = np.asarray(Image.open(tmp_path / "step.png").convert("RGB"))
    assert pixels.shape[1] == 12 * 144
    for colour in timeline.COLOURS.values():
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (pixels == wanted).all(axis=2).sum() > 50, colour


def test_a_cpu_has_no_overlap():
    *_, found = profiles.profile(problem.make(small_alexnet.network(), 2), "infer", "cpu", 1, side=32, copied=2**12)
    assert found.overlap is None
    assert found.document()["overlap"] is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(2.0, "0.5 GB/s, 50% of it"), (0.0, "1,000,000,000 bytes in 0 ms, none of")]
)
def test_copies_that_are_shorter_than_the_clock_can_tell_are_said(seconds, words):
    spans = [Span(0, COMPUTE, 0, 1, 1.0, 3.0), Span(1, COMPUTE, 0, 1, 1.0, 3.0), Span(1, LINK, 1, 8, 2.0, seconds / 2)]
    made = Overlap((*spans, Span(0, HOST, -1, 10**9, 0.0, seconds)))
    said = _profile._overlap(SimpleNamespace(overlap=made, conditions={"device": "cuda:0,cuda:1"}))
    assert words in said
    assert f"links {500 * seconds:.4g} ms, {'100%' if seconds else 'none'} of it beside computation" in said
