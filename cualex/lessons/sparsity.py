"""Sparsity: what ReLU sets to zero.

ReLU answers with 0 wherever a filter's sum is negative. Of the maps of a trained network most values are 0: an image is
described by the filters that answer to it. Measured here: the maps of the bundled network (AlexNet at half width,
trained on CIFAR-10's photographs) after its first convolution and after deeper ones, for drawn images; and those of a
network that has learned its few images by heart.
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
# After conv1 half of the values are 0, after the convolutions above it about seven to eight tenths. In the dense layers
# they are fewer: dropout, which is off here, takes half of them away in training.
#
# A pixel of the plot is the share of a layer's filters that answer there, from none (black) to all (white). More
# filters answer to the ground of a drawing than to the figure on it: a filter of conv1 that answers to a colour
# answers to all of it, and one that answers to an edge only at an edge. The deeper maps are small, 3x3 at the end.

# %%
names = ("relu1", "relu3", "relu5")
with figure("How many filters answer at each pixel", 8.0, 2.3) as drawn:
    first, *others = drawn.subplots(1, 4)
    first.imshow(images[6])
    first.set_title("image")
    for axes, layer in zip(others, names, strict=True):
        axes.imshow((model.features(images[6:7], layer)[0] > 0).mean(axis=0), cmap="gray", vmin=0, vmax=1)
        axes.set_title(layer)
    for axes in (first, *others):
        axes.set_axis_off()

# %% [question]
# tanh is 0 only where its input is exactly 0. How sparse would the maps be with tanh, and with GELU?

# %% [answer]
# Not at all: their values may be small, but they are not 0. (GPUs multiply by ReLU's zeros like by other numbers:
# time is saved only by programs that store maps without their zeros.)

# %% [markdown]
# Is a network that has learned by heart less sparse? Two networks, alike but for the number of images: one has 40,
# which it learns by heart, one 2,000. Both are asked about images that neither has seen.


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
# So it is here: what was learned by heart is less sparse from conv2 on. One run is not a law; try other counts. The
# same lines show what over-fitting means: all of its own images right, and of new ones about half.
