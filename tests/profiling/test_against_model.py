"""Measured times beside modelled ones: a row a step, of the plan that was measured."""

from types import SimpleNamespace

import pytest

from cualex.devices.dry_runtime import DryRuntime
from cualex.errors import UsageError
from cualex.plan import Plan
from cualex.profiling import against_model
from cualex.weights.parameters import Parameters
from tests.support import small_alexnet, written_sass


@pytest.fixture
def planned(monkeypatch):
    """Return a function that plans a small network, whose kernels have code that is written by hand."""
    written_sass.stand_in(monkeypatch)

    def plan(device="cuda:0,cuda:1", architecture=90):
        made = Parameters(small_alexnet.network(), device, precision="fp32", runtime=DryRuntime(architecture))
        return Plan(made, 2, "train")

    return plan


def test_every_step_but_links_has_both_times(planned):
    plan = planned()
    table = against_model.model(plan, "train")
    rows = [
        SimpleNamespace(name=step.name, function=step.function, towers=step.towers, seconds=1e-3 * (1 + place))
        for place, step in enumerate(plan.steps)
    ]
    found = against_model.document(rows, table)
    links = [row for row, step in zip(found["rows"], plan.steps, strict=True) if step.kind == "link"]
    others = [row for row in found["rows"] if row not in links]
    assert links
    assert {row["modelled_milliseconds"] for row in links} == {None}
    assert [row["name"] for row in found["rows"]] == [step.name for step in plan.steps]
    assert found["modelled_milliseconds"] == pytest.approx(sum(row["modelled_milliseconds"] for row in others))
    assert found["milliseconds"] == pytest.approx(sum(row["milliseconds"] for row in others))
    assert found["ratio"] == pytest.approx(found["milliseconds"] / found["modelled_milliseconds"])
    for row in others:
        assert row["ratio"] == pytest.approx(row["milliseconds"] / row["modelled_milliseconds"])
    assert (found["gpu"], len(found["assumptions"])) == ("NVIDIA H200", 5)


def test_the_model_is_of_the_measured_plan(planned):
    table = against_model.model(planned("cuda:0"), "train")
    wanted = {"mode": "train", "batch_size": 2, "precision": "fp32", "architecture": 90, "device": "cuda:0"}
    assert {name: table.conditions[name] for name in wanted} == wanted


def test_a_gpu_without_a_model_is_refused(planned):
    with pytest.raises(UsageError, match=r"^--against-model: the model has no constants for sm_80, only for sm_90$"):
        against_model.model(planned("cuda:0", 80), "train")
