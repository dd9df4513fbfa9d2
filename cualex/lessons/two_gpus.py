"""Two GPUs, two towers.

In 2012 a GPU had 3 GB, and the authors' network was too large to train on one. So each layer's filters, with half of
the maps and gradients, were divided between two GPUs, and the GPUs met at certain layers only: conv3, fc6, fc7 and fc8.
Sections 3.2 and 3.5 of the paper.
"""

# %%
import cualex
from cualex import networks
from cualex.lessons import figure

alexnet = networks.build("alexnet")
for stage in alexnet.stages():
    count, *side = stage.output
    if stage.layer.kind == "conv":
        print(f"{stage.name:10} {stage.towers} x {count} filters, maps of {side[0]}x{side[1]}")
    elif stage.layer.kind == "dense":
        print(f"{stage.name:10} {stage.towers} x {count} units")
    elif stage.layer.kind in ("exchange", "join"):
        what = "maps" if side[0] > 1 else "units"
        print(f"{stage.name:10} the towers meet: what comes next reads all {count} {what} of both")

# %% [markdown]
# Between two exchanges a tower is a network of its own. What it does not see it need not have: a filter of conv2 has 48
# maps below it and not 96. That saves half of the weights and products of conv2, conv4 and conv5.

# %%
for name in ("alexnet", "alexnet-one-tower"):
    totals = cualex.summary(name).totals
    print(f"{name:18} {totals.parameters:,} parameters, {totals.multiply_adds:,} multiply-adds")

# %% [question]
# How many floats does one GPU send to the other for an image, forward? The maps that cross are those of pool2 (128 maps
# of 13x13), pool5 (128 of 6x6), fc6 and fc7 (2,048 each).

# %%
forward = {"conv3": 128 * 13 * 13, "fc6": 128 * 6 * 6, "fc7": 2048, "fc8": 2048}
print(", ".join(f"before {layer} {floats:,}" for layer, floats in forward.items()), f"sum {sum(forward.values()):,}")

# %% [answer]
# 30,336 forward from the second tower, and 2,048 less from the first: fc8 is computed on the first GPU, so only the
# second tower's units travel to it. Backward, the gradients of the same maps travel the other way. Forward and
# backward together each tower sends 58,624 floats for an image, 234 KB. All maps of conv1 to conv5 would be more than
# ten times as much.

# %% [markdown]
# The program counts what really crosses. Here are two devices that both are the processor, and a network of an eighth
# of the width with crops of 67 pixels, so that the numbers are smaller: forward and backward, of both towers, for a
# batch of four images.

# %%
import numpy as np

from cualex.plan import Plan
from cualex.weights import initial
from cualex.weights.parameters import Parameters

small = networks.build("alexnet", classes=10, crop=67, width=0.125)
results = {}
for device in ("cpu", "cpu,cpu"):
    parameters = Parameters(small, device)
    parameters.load(initial.draw(small, 0))
    plan = Plan(parameters, 4)
    images = np.random.default_rng(0).integers(0, 256, (4, small.stored, small.stored, 3), np.uint8)
    plan.put(images, np.zeros((4, 3), np.int32), np.arange(4))
    parameters.ledger.clear()
    loss, crossed = plan.run().result.loss, parameters.ledger.floats
    said = ", ".join(f"before {layer} {floats:,}" for layer, floats in crossed.items()) or "none"
    print(f"on {device}: loss {loss:.6f}; floats that crossed: {said}")
    results[device] = parameters.unload()
same = all((results["cpu"][name] == results["cpu,cpu"][name]).all() for name in results["cpu"])
print("weights after the update are the same to the bit:", same)

# %% [markdown]
# The paper found that the towers divide the work: one learns colours, the other edges without colour. The filters of
# the bundled network, the first tower above, the second below. How coloured a filter is: the mean distance of its
# red, green and blue from their mean, of weights that are scaled to -0.5 ... 0.5. One training is no proof: which
# tower takes the colours is chance, and how far they divide the work.

# %%
filters = cualex.load("cifar10").parameters.unload()["conv1.weight"]
filters = filters / np.abs(filters).max(axis=(1, 2, 3), keepdims=True) / 2 + 0.5
half = len(filters) // 2
with figure("conv1 of the bundled network", 6.0, 2.2, "first tower: two upper rows; second: two lower") as drawn:
    for axes, each in zip(drawn.subplots(4, half // 2).flat, filters, strict=True):
        axes.imshow(each.transpose(1, 2, 0))
        axes.set_axis_off()
colour = [np.abs(part - part.mean(axis=1, keepdims=True)).mean() for part in (filters[:half], filters[half:])]
print(f"mean distance from grey: first tower {colour[0]:.3f}, second {colour[1]:.3f}")
