"""Small data: four ways to learn from few images.

A network of millions of weights learns a hundred images by heart. The lectures name four remedies: more images made
from those there are (augmentation), weights that are kept small (weight decay), dropout, and weights that have learned
something before (pre-training). Here each is tried on its own: a hundred images of ten classes, and three hundred new
ones to judge by.
"""

# %%
import numpy as np

from cualex.layers import Conv, Dense, Dropout, MaxPool, ReLU, Softmax
from cualex.lessons import Learner, demo_images, figure, work


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
# Pre-training: the lectures' fourth way is without labels. An auto-encoder learns to give back what it was shown, from
# fewer numbers; layer by layer its weights become those of the network. Here it is done for conv1 alone, on patches of
# many images whose labels nobody knows: the best linear auto-encoder has the patches' principal components for filters.

# %%
unlabelled = demo_images(work(1000, 100))[0]
random = np.random.default_rng(0)
patches = []
for _ in range(work(8000, 800)):
    which, top, left = random.integers(0, (len(unlabelled), 28, 28))
    patches.append(unlabelled[which, top : top + 5, left : left + 5].transpose(2, 0, 1).ravel() / 64.0)
patches = np.array(patches) - np.mean(patches, axis=0)
values, vectors = np.linalg.eigh(np.cov(patches.T))
best = vectors[:, ::-1][:, :24].T
left_over = ((patches - patches @ best.T @ best) ** 2).sum() / (patches**2).sum()
print(f"24 numbers for {patches.shape[1]} give the patches back but for {left_over:.1%} of their variance")

with figure("What the auto-encoder found", 6.0, 1.9) as drawn:
    for axes, filter in zip(drawn.subplots(2, 12).flat, best.reshape(-1, 3, 5, 5).transpose(0, 2, 3, 1), strict=True):
        axes.imshow(np.clip(0.5 + filter, 0, 1))
        axes.set_axis_off()

# %%
learner = Learner(layers(), images, labels, crop=27)
weights = learner.weights()
weights["conv1.weight"] = (best.reshape(-1, 3, 5, 5) * 0.1 * 75**0.5).astype(np.float32)  # as large as those drawn
learner.parameters.load(weights)
judge("auto-encoder", learner)

# %% [markdown]
# And with labels, of another task: the bundled network was trained on photographs of ten other classes. Only a new last
# layer is trained here, on its features.

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
with figure("New images right", 6.0, 2.6, "100 images to learn from, ten classes, one seed") as drawn:
    axes = drawn.subplots()
    axes.barh(list(results)[::-1], [100 * each for each in results.values()][::-1])
    axes.set(xlabel="%", xlim=(0, 100))

# %% [question]
# 300 new images judge. How large must a difference be before it says anything?

# %% [answer]
# A share p of n images has the deviation sqrt(p (1 - p) / n): about 0.025 here. Two networks that differ by less than
# five points may be equally good. That is why `cualex experiment` repeats with other seeds and prints deviations.
