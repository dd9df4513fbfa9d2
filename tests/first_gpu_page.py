"""What first_gpu.sh needs of Python.

python -m tests.first_gpu_page profile FILE      print the figures of `cualex profile --json` in some lines
python -m tests.first_gpu_page benchmark FILE    the same of `cualex benchmark --json`
python -m tests.first_gpu_page train             train a small AlexNet for two updates a precision, for a sanitizer
python -m tests.first_gpu_page small ARGUMENTS   `cualex ARGUMENTS` for an emulator: small products, turns of two steps
"""

import json
import math
import sys
from pathlib import Path

SLOWEST = 8  # steps that are listed


def profile(found):
    """Return the lines: the step as a whole, and its slowest parts with their share of the roofline."""
    yield (
        f"step {found['real_milliseconds']:.3f} ms, {found['images_per_s']:,.0f} images/s; one by one "
        f"{found['serial_milliseconds']:.3f} ms, of which {found['unattributed_share']:.1%} in no step"
    )
    rows = sorted(found["rows"], key=lambda row: row["milliseconds"], reverse=True)
    for row in rows[:SLOWEST]:
        yield (
            f"{row['milliseconds']:8.3f} ms  {row['name']:<22} {row['direction']:<8} {'+'.join(row['gives']):<6}"
            f"{row['operations_per_s'] / 1e12:8.2f} TFLOP/s {row['bytes_per_s'] / 1e9:8.1f} GB/s"
            f"  {row['share_of_roofline']:.0%} of the roofline ({row['bound']})"
        )
    for name, roof in found["rooflines"].items():
        yield f"roofline of {name}: {roof['measured']}"


def benchmark(found):
    """Return a line for each thing that is measured, and one for the memory."""
    for name, part in found.items():
        if not isinstance(part, dict) or "images_per_s" not in part:
            continue
        line = (
            f"{name}: {part['images_per_s']:,.0f} images/s, {part['milliseconds']:.3f} ms a step of "
            f"{part['batch_size']}, {part['share_of_product_rate']:.1%} of the rate of a large product"
        )
        for other, said in (("ratio", "PyTorch"), ("ratio_without_lrn", "PyTorch without LRN")):
            if part[other] is not None:
                low, high = part[f"{other}_range"]
                line += f"; {part[other]:.2f} times {said} ({low:.2f} to {high:.2f})"
        yield line
    peak, planned = (found[f"{name}_memory_bytes"] / 1e9 for name in ("peak", "planned"))
    yield f"memory: {peak:.2f} GB at most, {planned:.2f} planned"


def train():
    """Train on the first GPU, and say what the losses were; leave with 1 where one is no number."""
    from tests.support import small_alexnet

    for precision in ("tf32", "bf16"):
        plan = small_alexnet.train(small_alexnet.parameters("cuda:0", precision=precision), updates=2)
        loss = plan.result.loss
        yield f"{precision}: loss {loss:.4f} after two updates"
        if not math.isfinite(loss):
            sys.exit(1)


def small(arguments):
    """Run the command."""
    from cualex.benchmark import rounds
    from cualex.benchmark.matmul_rate import SIDES
    from cualex.cli import main

    SIDES["cuda"], rounds.MOST = 64, 2
    sys.argv[1:] = arguments
    main()


def main():
    """Print the lines."""
    what, *files = sys.argv[1:]
    if what == "small":
        small(files)
        return
    if what == "train":
        lines = train()
    else:
        lines = {"profile": profile, "benchmark": benchmark}[what](json.loads(Path(*files).read_text()))
    for line in lines:
        print(f"    {line}")


if __name__ == "__main__":
    main()
