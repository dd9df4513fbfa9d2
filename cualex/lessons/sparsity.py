"""Sparsity: what ReLU sets to zero.

ReLU answers with 0 wherever a filter's sum is negative. Of the maps of a trained network most values are 0: an image is
described by the few filters that say something about it. This is figure 5 of the lectures, with real numbers: the image
after the first convolution, after deeper ones, and in a network that has learned its few images by heart.
"""

# %%

import cualex
from cualex.layers import Conv, Dense, MaxPool, ReLU, Softmax
from cualex.lessons import Learner, demo_images, figure, work

model = cualex.load("cifar10")
images, _ = demo_images(40, model.network.stored)
for layer in ("relu1", "relu2", "relu3", "relu4", "relu5", "relu6", "relu7"):
    maps = model.features(images, layer)
    print(f"{layer}: {(maps == 0).mean():4.0%} of {maps[0].size:,} values are 0")

# %% [markdown]
# After conv1 half of the values are 0, after the convolutions above it three quarters and more. In fc6 and fc7 they are
# fewer. In the lectures' figure 5 (a) is the image, (b) and (c) are what is left of it after one convolution and after
# more: black where no filter answers, brighter where more do.

# %%
names = ("relu1", "relu3", "relu5")
with figure("How many filters answer at each pixel", 8.0, 2.3) as drawn:
    first, *others = drawn.subplots(1, 4)
    first.imshow(images[6])
    first.set_title("image")
    for axes, layer in zip(others, names, strict=True):
        axes.imshow((model.features(images[6:7], layer)[0] > 0).mean(axis=0), cmap="gray", vmin=0)
        axes.set_title(layer)
    for axes in (first, *others):
        axes.set_axis_off()

# %% [question]
# tanh is 0 only where its input is exactly 0. How sparse would the maps be with tanh, and with GELU?

# %% [answer]
# Not at all: their values may be small, but they are not 0, and a sum over them skips nothing. (On a GPU nothing is
# skipped for ReLU either: the zeros save memory traffic only where someone writes them in a packed form.)

# %% [markdown]
# Figure 5 (d) claims that a network which has learned by heart keeps the whole figure. Two networks, alike but for the
# number of images: one has 40, which it learns by heart, one many. Both are asked about images that neither has seen.


# %%
def layers():
    """Return a network of three convolutions."""
    return {
        "conv1": Conv(32, size=5, pad=2, std=0.1),
        "relu1": ReLU(),
        "pool1": MaxPool(),
        "conv2": Conv(32, size=5, pad=2, std=0.03),
        "relu2": ReLU(),
        "pool2": MaxPool(),
        "conv3": Conv(32, size=3, pad=1, std=0.05),
        "relu3": ReLU(),
        "fc4": Dense(10, std=0.03),
        "softmax": Softmax(),
    }


test, answers = demo_images(work(500, 50), split="val")
for name, count in (("by heart", 40), ("many images", work(2000, 96))):
    seen, labels = demo_images(count)
    learner = Learner(layers(), seen, labels, rate=0.01)
    losses = learner.train(work(250, 10))
    zeros = ", ".join(f"{layer} {(learner.maps(layer, test) == 0).mean():.0%}" for layer in ("relu1", "relu2", "relu3"))
    right, tested = learner.accuracy(seen, labels), learner.accuracy(test, answers)
    print(f"{name:11} right: own images {right:.0%}, new ones {tested:.0%}; zeros: {zeros}")

# %% [markdown]
# So it is here: what was learned by heart is less sparse from conv2 on. One run is not a law; try other counts. What
# over-fitting means is on the same lines: all of its own images right, and few of the others.
