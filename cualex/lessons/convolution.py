"""Convolution by hand.

A filter is a small picture. It is laid on the image, each of its numbers is multiplied by the pixel below it, and the
products are added up; then it moves on. Where the image looks like the filter the sum is large. conv1, the first layer
of AlexNet, does this with 96 filters of 11x11 pixels and moves them by four pixels each time: its *stride* is 4.
"""

# %%
import numpy as np

from cualex.lessons import Learner, demo_images, figure

image = np.zeros((6, 6))
image[1:5, 3:] = 1.0  # dark on the left, light on the right
upright = np.array([[-1.0, 0.0, 1.0]] * 3)  # answers to dark on the left, light on the right
print("image:", image.astype(int), "filter:", upright.astype(int), sep="\n")

# %% [markdown]
# One value of the output is one position of the filter: nine products and a sum. The filter fits at 4 x 4 positions,
# since (6 - 3) / 1 + 1 = 4: the image's side less the filter's, divided by the stride, plus one.


# %%
def convolve(image, weight, stride=1):
    """Slide a filter (r, s) over an image (h, w)."""
    side = len(weight)
    positions = (len(image) - side) // stride + 1
    y = np.zeros((positions, positions))
    for p in range(positions):
        for q in range(positions):
            window = image[p * stride : p * stride + side, q * stride : q * stride + side]
            y[p, q] = np.sum(window * weight)
    return y


print("with stride 1:", convolve(image, upright), "with stride 3:", convolve(image, upright, 3), sep="\n")

# %% [markdown]
# The output is large where it becomes lighter to the right and 0 where all is alike: a *map* of upright edges. Where it
# becomes darker the sum is negative, black in the plot below. A filter for level edges is the same one on its side.

# %%
ring = demo_images(1, 64)[0][0].mean(axis=2) - 128
edges = [convolve(ring, weight) for weight in (upright, upright.T)]
titles = "image", "upright edges", "level edges"
with figure("An image and two maps", 7.5, 2.6) as drawn:
    for axes, pixels, name in zip(drawn.subplots(1, 3), (ring, *edges), titles, strict=True):
        axes.imshow(pixels, cmap="gray")
        axes.set_title(name)
        axes.set_axis_off()

# %% [question]
# AlexNet's image has 227 pixels a side, its first filters 11, and they move by 4. How many positions are there along a
# side? How many multiplications does conv1 take for one image, with 96 filters and three colours?

# %% [answer]
# (227 - 11) / 4 + 1 = 55 positions a side. Each of 55 x 55 x 96 values needs 11 x 11 x 3 products: 105,415,200. The
# paper's text has 224 pixels, with which there would be 54.25 positions: `cualex help networks`.

# %%
positions = (227 - 11) // 4 + 1
print(f"{positions} positions a side, {positions**2 * 96 * 11 * 11 * 3:,} multiplications")

# %% [markdown]
# A layer of a network computes the same sum, over the three colours too, and adds a number of its own to each map, the
# *bias*. Here is a convolution of the program with random filters, beside the loops of this lesson.

# %%
from cualex.layers import Conv, Dense, Softmax

images, labels = demo_images(32)
layers = {"conv1": Conv(4, size=5, std=0.1), "fc2": Dense(10), "softmax": Softmax()}
learner = Learner(layers, images, labels)
weight = learner.weights()["conv1.weight"]  # (filters, colours, rows, columns)
centred = (images[0] - learner.mean) / 64
by_hand = sum(convolve(centred[:, :, colour], weight[2, colour]) for colour in range(3))
by_layer = learner.maps("conv1", images[:1])[0, 2]
print(f"largest difference {np.abs(by_hand - by_layer).max():.1g}, of values up to {by_layer.max():.2f}")
