"""Augmentation: other views of the same images.

A cat that is moved by a few pixels, mirrored or lit otherwise is a cat. AlexNet never sees an image twice alike: it
sees a random crop, mirrored or not, with its colours changed along their principal components. Section 4.1.
"""

# %%
import numpy as np

import cualex
from cualex.layers import Conv, Dense, MaxPool, ReLU, Softmax
from cualex.lessons import Learner, demo_images, figure, work

image = demo_images(7, 76)[0][6]
random = np.random.default_rng(1)
views = []
for _ in range(8):
    top, left = random.integers(0, 76 - 67 + 1, 2)
    view = image[top : top + 67, left : left + 67]
    views.append(view[:, ::-1] if random.random() < 0.5 else view)
with figure("One image, eight views", 8.0, 1.6, "crops of 67 pixels of 76, mirrored or not") as drawn:
    for axes, view in zip(drawn.subplots(1, 8), views, strict=True):
        axes.imshow(view)
        axes.set_axis_off()

# %% [question]
# The paper stores images with 256 pixels a side, takes crops of 224 and mirrors them, and counts 2,048 views. Check it.

# %%
print(f"the paper's count: {2 * (256 - 224) ** 2:,}")
for crop in (224, 227):
    print(f"crops of {crop} pixels: {256 - crop + 1} positions a side, {2 * (256 - crop + 1) ** 2:,} views")

# %% [answer]
# (256 - 224)^2 * 2 = 2,048. There are 33 positions along a side, not 32, so that it should be 2,178; and with crops of
# 227, from which the maps have 55x55 pixels, it is 1,800. They are far from independent: neighbouring crops share
# nearly all pixels.

# %% [markdown]
# Colours: over the pixels of many images red, green and blue do not vary independently. The *principal components*
# are the directions in which they vary most, at right angles to each other; their signs mean nothing. To each image a
# random shift along each is added, a tenth as large as the colours vary there (a standard deviation of 0.1 times
# theirs).

# %%
many = demo_images(work(200, 50), 32)[0].reshape(-1, 3).astype(np.float64)
variances, directions = (part[..., ::-1] for part in np.linalg.eigh(np.cov(many.T)))  # the largest first
scaled = np.sqrt(variances)[:, None] * directions.T  # a row each: the component as long as its deviation
for deviation, (red, green, blue) in zip(np.sqrt(variances), directions.T, strict=True):
    print(f"standard deviation {deviation:5.1f} along red {red:+.2f}, green {green:+.2f}, blue {blue:+.2f}")
subtitle = "shifts of 0.5 standard deviations, five times the paper's, so that they show"
with figure("The same image in other colours", 8.0, 1.6, subtitle) as drawn:
    for axes in drawn.subplots(1, 8):
        shift = random.normal(0, 0.5, 3) @ scaled
        axes.imshow(np.clip(image + shift, 0, 255).astype(np.uint8))
        axes.set_axis_off()

# %% [markdown]
# At test time there is no chance: five crops, the corners and the centre, and their mirror images; the paper averages
# the ten answers. Why, shows the bundled network, which knows ten classes of photographs and no crosses: its answers
# to the eight views above differ. Right they cannot be.

# %%
model = cualex.load("cifar10")
answers = model.predict(views, top=1)
print("\n".join(f"view {number}: {named} {share:.0%}" for number, [(named, share)] in enumerate(answers, 1)))

# %% [markdown]
# What crops and mirror images are worth on 100 images: a network trained on the same crop of each, and on random ones.


# %%
def layers():
    """Return a small network."""
    return {
        "conv1": Conv(32, size=5, pad=2, std=0.1),
        "relu1": ReLU(),
        "pool1": MaxPool(),
        "conv2": Conv(32, size=5, pad=2, std=0.03),
        "relu2": ReLU(),
        "pool2": MaxPool(),
        "fc3": Dense(10, std=0.03),
        "softmax": Softmax(),
    }


images, labels = demo_images(100)
test, right_answers = demo_images(work(300, 50), split="val")
for augmented in (False, True):
    learner = Learner(layers(), images, labels, crop=27, augmented=augmented)
    losses = learner.train(work(200, 10))
    print(
        f"{'random crops and mirror images' if augmented else 'always the centre':31} training loss "
        f"{np.mean(losses[-10:]):.3f}, new images right {learner.accuracy(test, right_answers):.0%}"
    )

# %% [markdown]
# The network that sees other views each time learns its images less well and new ones better. The classes here differ
# in where their colours are, so colours are left as they are. `cualex experiment no-colour-noise --results` has what
# colour noise was worth on CIFAR-10, `cualex lesson small-data` other remedies.
