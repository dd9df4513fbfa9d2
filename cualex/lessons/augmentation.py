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
print("paper:", 2 * (256 - 224) ** 2)
print("all positions of 224 pixels:", 2 * (256 - 224 + 1) ** 2, "of 227:", 2 * (256 - 227 + 1) ** 2)

# %% [answer]
# (256 - 224)^2 * 2 = 2,048. There are 33 positions along a side, not 32, so that it should be 2,178; and with crops of
# 227, from which the maps have 55x55 pixels, it is 1,800. They are far from independent: neighbouring crops share
# nearly all pixels.

# %% [markdown]
# Colours: over the pixels of many images red, green and blue rise and fall together. The principal components of their
# covariance say how; each image gets a random multiple of each, with the deviation 0.1 of its own.

# %%
many = demo_images(work(200, 50), 32)[0].reshape(-1, 3).astype(np.float64)
variances, directions = np.linalg.eigh(np.cov(many.T))
scaled = np.sqrt(variances)[:, None] * directions.T  # a row each: the component as long as its deviation
for deviation, (red, green, blue) in zip(np.sqrt(variances), directions.T, strict=True):
    print(f"deviation {deviation:5.1f} along red {red:+.2f}, green {green:+.2f}, blue {blue:+.2f}")
subtitle = "deviation 0.5, five times the paper's, so that it shows"
with figure("The same image in other colours", 8.0, 1.6, subtitle) as drawn:
    for axes in drawn.subplots(1, 8):
        shift = random.normal(0, 0.5, 3) @ scaled
        axes.imshow(np.clip(image + shift, 0, 255).astype(np.uint8))
        axes.set_axis_off()

# %% [markdown]
# At test time there is no chance: five crops, the corners and the centre, and their mirror images; the ten answers are
# averaged.

# %%
model = cualex.load("cifar10")
answers = model.predict(views, top=1)
print("eight views, eight answers:", [f"{named} {share:.0%}" for [(named, share)] in answers])

# %% [markdown]
# What it is worth, on few images: a network trained on the same crop of each, and on random ones.


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
