"""Local response normalisation, across channels and within.

A strong answer makes its neighbours weaker: each activity is divided by the strength of those around it. *Across*
channels (the paper, section 3.3) the neighbours are the maps of the filters before and after, at the same pixel.
*Within* a channel they are the pixels around, in the same map.

    y[c] = x[c] / (k + alpha * sum over the window of x^2)^beta

The window of channel c reaches from c - n/2 to c + n/2, rounded down: with n = 5 it has five channels, two on either
side, and with n = 2 three.
"""

# %%
import numpy as np

from cualex.layers import LRN, Conv, Dense, Softmax, SpatialLRN
from cualex.lessons import Learner, demo_images, figure

# %% [markdown]
# An example step by step: four channels of one pixel each, with n = 2, k = 0, alpha = 1, beta = 1.

# %%
x = np.array([1.0, 1.0, 2.0, 4.0])


def across(x, n, k, alpha, beta, words=False):
    """Normalise across the first axis; what is beyond either end is absent."""
    y = np.zeros_like(x)
    for c in range(len(x)):
        window = x[max(c - n // 2, 0) : c + n // 2 + 1]
        strength = k + alpha * (window**2).sum(axis=0)
        y[c] = x[c] / strength**beta
        if words:
            squares = " + ".join(f"{value:g}^2" for value in window)
            print(f"channel {c}: {x[c]:g} / ({k:g} + {squares}) = {x[c]:g} / {strength:g} = {y[c]:.3f}")
    return y


across(x, n=2, k=0, alpha=1, beta=1, words=True)

# %% [markdown]
# With the paper's numbers (n = 5, k = 2, alpha = 0.0001, beta = 0.75) activities of this size are only divided by
# 2^0.75 = 1.68. The window matters where activities are in the hundreds: AlexNet's images have values of up to 255, and
# are not scaled.

# %%
for size in (1, 10, 100, 300):
    alone, crowd = (across(values * size, 5, 2, 1e-4, 0.75)[2] for values in (np.eye(5)[2], np.ones(5)))
    print(f"activity {size:3}: alone {alone:6.2f}, beside four as strong {crowd:6.2f}, ratio {alone / crowd:.2f}")

# %% [question]
# Two filters answer to the same edge, one with 300 and one with 100; the others are silent. What is their ratio before
# and after the normalisation? And that of two pixels of a single map, 300 and 100?

# %%
pair = across(np.array([0.0, 300, 100, 0, 0]), 5, 2, 1e-4, 0.75)
print("two filters at one pixel:", pair.round(1), "ratio", (pair[1] / pair[2]).round(2))
single = [across(np.array([0.0, value, 0, 0, 0]), 5, 2, 1e-4, 0.75)[1] for value in (300, 100)]
print("one filter at two pixels:", np.round(single, 1), "ratio", np.round(single[0] / single[1], 2))

# %% [answer]
# Neighbours at one pixel are divided by the same sum, if each is in the other's window: their ratio stays 3. A filter's
# two pixels each have a sum of their own: the stronger is divided by more, and the ratio falls. So normalisation
# *across* channels evens out differences between strong and weak places of an image. And a filter that answers alone
# comes through stronger than one whose neighbours answer too, by the ratios above: that is what is called competition.

# %% [markdown]
# *Within*: the window is a square of n x n pixels of one map. A step from 1 to 100, seen in a row of one map:

# %%
step = np.array([1.0, 1, 1, 1, 100, 100, 100, 100])
rows = np.tile(step, (8, 1))
padded = np.pad(rows**2, 2)
sums = sum(padded[i : i + 8, j : j + 8] for i in range(5) for j in range(5))
print("in: ", step)
print("out:", (rows / (2 + 1e-4 * sums) ** 0.75)[4].round(1))

# %% [markdown]
# The faint side loses most next to the strong one: a local contrast. Now an image through both forms, as the network's
# layers compute them, and the formula as a check.

# %%
images, labels = demo_images(32)
strong = 5, 2.0, 1.0, 0.75  # n, k, alpha, beta: a large alpha, since the images are divided by 64 here
before = {"conv1": Conv(16, size=5, pad=2, std=0.1)}
after = {"fc2": Dense(10), "softmax": Softmax()}
kinds = {"across": LRN(*strong), "within": SpatialLRN(*strong)}
learners = {name: Learner({**before, "norm1": kind, **after}, images, labels) for name, kind in kinds.items()}
maps = {"conv1": learners["across"].maps("conv1", images[:1])[0]}
maps |= {name: learner.maps("norm1", images[:1])[0] for name, learner in learners.items()}
print(f"largest difference from the formula: {np.abs(maps['across'] - across(maps['conv1'], *strong)).max():.1g}")
with figure("Size of a map's values, before and after", 7.0, 2.6, "each scaled by its largest value") as drawn:
    for axes, (name, values) in zip(drawn.subplots(1, 3), maps.items(), strict=True):
        axes.imshow(abs(values[5]), cmap="gray", vmin=0)
        axes.set_title(name)
        axes.set_axis_off()

# %% [markdown]
# `cualex experiment normalisation --results` has whole trainings without, across, within and with batch normalisation.
