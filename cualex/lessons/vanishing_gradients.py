"""Gradients that vanish.

A gradient goes back through every layer above it, and each multiplies it by weights and by the slope of its activation.
The sigmoid's slope is never above 1/4: after six layers little is left for the first. Here networks of six convolutions
differ in their activation alone, and the mean size of each layer's weight gradient is measured. All begin with the same
weights, whose size suits tanh and ReLU; the sigmoid would need larger ones, and its slope would still be 1/4 at most.
"""

# %%
import numpy as np

from cualex.layers import Conv, Dense, MaxPool, Softmax, activation
from cualex.lessons import Learner, demo_images, figure, work

DEPTH = 6
images, labels = demo_images(work(320, 96))


def layers(function):
    """Return a network of six convolutions whose initial weights suit ReLU and tanh (Glorot)."""
    made: dict = {}
    for number in range(1, DEPTH + 1):
        made[f"conv{number}"] = Conv(24, size=3, pad=1, std=None)
        made[f"act{number}"] = activation(function)
        if number in (2, 4):
            made[f"pool{number}"] = MaxPool()
    return {**made, "fc": Dense(10, std=None), "softmax": Softmax()}


sizes = {}
for function in ("sigmoid", "tanh", "relu"):
    gradients = Learner(layers(function), images, labels).gradients()
    sizes[function] = [np.abs(gradients[f"conv{number}.weight"]).mean() for number in range(1, DEPTH + 1)]
    print(f"{function:8}", "  ".join(f"conv{number} {size:.1e}" for number, size in enumerate(sizes[function], 1)))

# %%
with figure("Mean size of the weight gradient", 6.5, 2.8, "six convolutions, before the first update") as drawn:
    axes = drawn.subplots()
    for function, values in sizes.items():
        axes.semilogy(range(1, DEPTH + 1), values, marker="o", label=function)
    axes.set(xlabel="convolution, from the image", ylabel="mean absolute value")
    axes.legend()

# %% [question]
# By what factor is the sigmoid's gradient smaller at conv1 than at conv6? What would ten more layers do to it?

# %%
for function, values in sizes.items():
    print(
        f"{function:8} conv6 / conv1 = {values[-1] / values[0]:,.1f}; a layer takes a factor of "
        f"{(values[-1] / values[0]) ** (1 / (DEPTH - 1)):.2f}, ten layers {(values[-1] / values[0]) ** 2:,.1f}"
    )

# %% [answer]
# The factor of one layer, raised to the tenth power, is that of ten more: for the sigmoid hundreds of thousands, so
# that nothing would reach the image. For tanh and ReLU the factor is below 1: their gradients even grow a little
# towards the image, *before* training. Tanh's trouble comes later: where weights grow, its inputs leave the steep part.
# That is what the paper means by a saturating function.

# %% [markdown]
# Does it matter? The same networks, trained for as many updates at the same rate.

# %%
for function in sizes:
    learner = Learner(layers(function), images, labels, rate=0.02)
    first, losses = learner.weights(), learner.train(work(60, 6))
    moved = np.abs(learner.weights()["conv1.weight"] - first["conv1.weight"]).mean()
    print(f"{function:8} loss {losses[0]:.2f} -> {np.mean(losses[-10:]):.2f}; conv1 moved by {moved:.1e} a weight")

# %% [markdown]
# The sigmoid's network has come to guessing, a loss of ln 10 = 2.30, and no further: its first layer has not moved.
# With images that are scaled to a standard deviation of 1 and weights that suit it, tanh is no slower than ReLU here.
# `cualex lesson activations` has the slopes; `cualex experiment relu-against-tanh --results` what became of the
# paper's factor of six.
