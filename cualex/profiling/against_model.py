"""A GPU's measured times beside those of the model of kernels (cualex/kernel_model), step by step."""

from collections.abc import Callable, Sequence
from typing import Any

from cualex.devices.cuda import CudaDevice
from cualex.errors import UsageError
from cualex.kernel_model.planned import Planned
from cualex.kernel_model.table import Table
from cualex.plan import Plan
from cualex.profiling.table import Row


def model(plan: Plan, mode: str, compiling: Callable[[int, int], None] | None = None) -> Table:
    """Model the plan that is measured, for its GPU; raise UsageError where that is a CPU, or one without a model."""
    parameters = plan.parameters
    device = parameters.devices[0]
    if not isinstance(device, CudaDevice):
        raise UsageError("--against-model compares times of a GPU: add --device cuda:0. `cualex kernels` needs no GPU")
    architecture = device.runtime.architecture(device.index)
    planned = Planned(
        parameters.network,
        plan.batch,
        mode,
        precision=device.precision,
        architecture=architecture,
        device=str(parameters.placement),
    )
    if planned.gpu is None:
        raise UsageError(f"--against-model: the model has no constants for sm_{architecture}, only for sm_90")
    return planned.table(compiling)


def document(rows: Sequence[Row], table: Table) -> dict[str, Any]:
    """Return the measured and the modelled milliseconds of each step; ratio: measured over modelled.

    The model's are None for copies between devices. rows: of the same plan, in its order.
    """
    beside = []
    for row, modelled in zip(rows, table.step_seconds(), strict=True):
        made: dict[str, Any] = {
            "name": row.name,
            "function": row.function,
            "towers": row.towers,
            "milliseconds": 1000 * row.seconds,
        }
        made["modelled_milliseconds"] = None if modelled is None else 1000 * modelled
        made["ratio"] = None if modelled is None else row.seconds / modelled
        beside.append(made)
    total = table.seconds
    measured = sum(each["milliseconds"] for each in beside if each["ratio"] is not None)
    return {
        "rows": beside,
        "milliseconds": measured,
        "modelled_milliseconds": total and 1000 * total,
        "ratio": total and measured / (1000 * total),
        "gpu": table.conditions["gpu"],
        "assumptions": list(table.assumptions),
    }
