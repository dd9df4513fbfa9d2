"""Features, and fine-tuning.

A network that tells classes of photographs apart knows edges, textures and parts of things as well. Without its last
layer it gives numbers that describe any image: *features*. A small classifier on them needs few images; and the whole
network can be trained a little further, *fine-tuned*, from there. The network here is the bundled one: AlexNet at half
width, trained on the ten classes of CIFAR-10.
"""

# %%
import numpy as np

import cualex
from cualex.lessons import Learner, demo_images, figure, work

model = cualex.load("cifar10")
print("trained on:", ", ".join(model.classes))
images, labels = demo_images(work(100, 40), model.network.stored)
test, answers = demo_images(work(200, 40), model.network.stored, "val")
print(f"now asked about drawings of ten other classes: {len(images)} to learn from, {len(test)} to judge by")

# %% [markdown]
# Its own answer means nothing here: a ring is neither a cat nor a ship. The layers below are of more use. On each, a
# linear classifier (ridge regression) learns the ten classes of drawings from a hundred images.


# %%
def probe(layer):
    """Return the share of new images that a linear classifier on a layer gets right."""
    x, y = (model.features(each, layer).reshape(len(each), -1) for each in (images, test))
    x, y = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (x, y))
    solution = np.linalg.solve(x @ x.T + 0.01 * np.eye(len(x)), np.eye(10)[labels])
    return float(((y @ x.T @ solution).argmax(axis=1) == answers).mean())


layers = "relu1", "pool1", "pool2", "relu3", "relu4", "pool5", "relu6", "relu7", "fc8"
right = {layer: probe(layer) for layer in layers}
for layer, share in right.items():
    print(f"{layer:6} {share:.0%}")

# %%
with figure("New drawings right, by the layer whose features are used", 6.5, 2.6) as drawn:
    axes = drawn.subplots()
    axes.bar(list(right), [100 * share for share in right.values()])
    axes.set(ylabel="%", ylim=(0, 100))

# %% [question]
# Why is the last layer worse than those in the middle?

# %% [answer]
# fc8 has one number for each of its ten classes, and what does not matter for telling a cat from a ship has been left
# out on the way: here for instance where in a drawing its colours are. The nearer two tasks are to each other, the
# higher up the best features lie; the paper's section 6.1 compares photographs by the last hidden layer. Of 200
# images, eight percentage points could be chance: the layers in the middle are equal.

# %% [markdown]
# Fine-tuning trains all layers from there. Two trainings on the hundred drawings, of the same updates: one begins with
# the bundled network's weights and a new last layer, one with random weights.

# %%
rate = {"fine-tuned": 0.003, "from scratch": 0.01}
for name, start in rate.items():
    own = model.network
    learner = Learner(own.layers, images, labels, crop=own.crop, rate=start, scale=1.0, towers=2, augmented=True)
    if name == "fine-tuned":
        drawn_anew = {key: value for key, value in learner.weights().items() if key.startswith("fc8")}
        learner.parameters.load({**model.parameters.unload(), **drawn_anew})
    losses = learner.train(work(90, 6))
    print(
        f"{name:13} training loss {np.mean(losses[-10:]):.2f}, new drawings right {learner.accuracy(test, answers):.0%}"
    )

# %% [markdown]
# On your own folder of photographs `cualex train` does so by itself, with a lower rate than from scratch and a higher
# one for the new layer (`--head-lr`):
#
#     cualex train photos                        from the bundled network, where that helps
#     cualex train photos --scratch              from random weights
#     cualex train photos --from weights.safetensors --freeze conv1,conv2 --head-lr 10
