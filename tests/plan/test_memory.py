"""What a training step of alexnet keeps on a GPU, by its plan: nothing is allocated beside it."""

import pytest

from cualex import networks
from cualex.devices.dry_runtime import DryRuntime
from cualex.plan import Plan
from cualex.weights.parameters import Parameters


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "most"), [("tf32", 1.5e9), pytest.param("bf16", 1.2e9, marks=pytest.mark.slow)])
def test_a_step_at_batch_128_fits(precision, most):
    made = Parameters(networks.build("alexnet"), "cuda:0", precision=precision, runtime=DryRuntime())
    plan = Plan(made, 128)
    work = made.devices[0].scratch_bytes
    total = plan.bytes + made.bytes + work
    assert 1e9 < total <= most, (plan.bytes, made.bytes, work)
