"""Small data: four ways to learn from few images.

A network of millions of weights learns a hundred images by heart. There are four remedies: more images made from those
there are (augmentation), weights that are kept small (weight decay), dropout, and weights that have learned something
before (pre-training), without labels or with those of another task. Here each is tried on its own: a hundred images of
ten classes, and three hundred new ones to judge by. Weight decay is 0.01, twenty times the paper's.
"""

# %%
import numpy as np

from cualex.layers import Conv, Dense, Dropout, MaxPool, ReLU, Softmax
from cualex.lessons import Learner, Unlabelled, demo_images, figure, work
from cualex.training.autoencoder import pretrain


def layers(dropout=0.0):
    """Return a small network with a wide dense layer."""
    return {
        "conv1": Conv(24, size=5, pad=2, std=0.1),
        "relu1": ReLU(),
        "pool1": MaxPool(),
        "conv2": Conv(24, size=5, pad=2, std=0.04),
        "relu2": ReLU(),
        "pool2": MaxPool(),
        "fc3": Dense(256, std=0.03),
        "relu3": ReLU(),
        **({"drop3": Dropout(dropout, inverted=False)} if dropout else {}),
        "fc4": Dense(10, std=0.03),
        "softmax": Softmax(),
    }


images, labels = demo_images(100)
test, answers = demo_images(work(300, 50), split="val")
updates = work(150, 8)
results = {}


def judge(name, learner):
    """Train a network and print how right it is."""
    losses = learner.train(updates)
    results[name] = learner.accuracy(test, answers)
    print(f"{name:14} loss of its own images {np.mean(losses[-10:]):.3f}, new images right {results[name]:.0%}")


judge("nothing", Learner(layers(), images, labels, crop=27))
judge("augmentation", Learner(layers(), images, labels, crop=27, augmented=True))
judge("weight decay", Learner(layers(), images, labels, crop=27, decay=0.01))
judge("dropout", Learner(layers(0.5), images, labels, crop=27))

# %% [markdown]
# Pre-training, without labels: an auto-encoder learns to give back what it was shown; layer
# by layer its weights become those of the network. conv1 comes first: with a decoder of its own it learns to give back
# the image, and the decoder is thrown away. Then conv2 learns to give back what it reads, which is what conv1 now makes
# of the image, and then fc3. Half of a layer's units are dropped meanwhile: a unit that copies one value is of little
# use to a decoder that does without half of them. The images are many, and nobody knows their labels.

# %%
learner = Learner(layers(), images, labels, crop=27)
weights, unlabelled = learner.weights(), demo_images(work(1000, 100))[0]
for layer in pretrain(learner.network, Unlabelled(unlabelled), learner.mean, work(120, 5)):
    weights.update(layer.tensors)
    print(f"{layer.layer} gives back {1 - layer.left:.0%} of the variance of what it reads")

with figure("What conv1 learned to give images back with", 6.0, 1.9) as drawn:
    filters = weights["conv1.weight"].transpose(0, 2, 3, 1)
    for axes, filter in zip(drawn.subplots(2, 12).flat, filters, strict=True):
        axes.imshow(0.5 + 0.5 * filter / abs(filter).max())
        axes.set_axis_off()

# %%
learner.parameters.load(weights)
judge("auto-encoder", learner)

# %% [markdown]
# It does not help here: what gives an image back is not what tells its class. On photographs, with three seeds and more
# images, it does not either: `cualex experiment pre-training --results`, by the same code
# (cualex/training/autoencoder.py).

# %% [markdown]
# And with labels, of another task: the bundled network (AlexNet at half width) was trained on photographs of ten other
# classes. Of it the maps after conv5 (relu5) are taken as features, and a linear classifier (ridge regression) learns
# the new classes from them. `cualex lesson fine-tuning` has other layers, some of which are better.

# %%
import cualex

model = cualex.load("cifar10")
features = {}
for name, count, split in (("train", 100, "train"), ("val", len(answers), "val")):
    features[name] = model.features(demo_images(count, model.network.stored, split)[0], "relu5").reshape(count, -1)
x = features["train"] / np.linalg.norm(features["train"], axis=1, keepdims=True)
y = features["val"] / np.linalg.norm(features["val"], axis=1, keepdims=True)
solution = np.linalg.solve(x @ x.T + 0.01 * np.eye(len(x)), np.eye(10)[labels])  # ridge regression to the classes
results["pre-trained"] = float(((y @ x.T @ solution).argmax(axis=1) == answers).mean())
print(f"features of the bundled network: new images right {results['pre-trained']:.0%}")

# %%
shares = np.array(list(results.values()))[::-1]
deviations = np.sqrt(shares * (1 - shares) / len(answers))
subtitle = "100 images to learn from, ten classes, one training each; bars: two standard deviations of a share of 300"
with figure("New images right", 7.0, 2.8, subtitle) as drawn:
    axes = drawn.subplots()
    axes.barh(list(results)[::-1], 100 * shares, xerr=200 * deviations, error_kw={"ecolor": "gray"})
    axes.set(xlabel="%", xlim=(0, 100))

# %% [question]
# 300 new images judge. How large must a difference be before it says anything?

# %% [answer]
# A share p of n images has the standard deviation sqrt(p (1 - p) / n), about 2.5 percentage points here, and a
# difference of two shares the root of 2 times that. So two networks that differ by less than seven points may be
# equally good; and another random seed of the training moves both. By that measure only what is seven points above or
# below "nothing" in the list says anything. That is why `cualex experiment` repeats with other seeds and prints
# deviations.
