"""Features, and fine-tuning.

A network that knows a thousand classes knows edges, textures and parts of things as well. Without its last layer it
gives numbers that describe any image: *features*. A small classifier on them needs few images; and the whole network
can be trained a little further, *fine-tuned*, from there.
"""

# %%
import numpy as np

import cualex
from cualex.lessons import demo_images, figure, work

model = cualex.load("cifar10")
print("trained on:", ", ".join(model.classes))
images, labels = demo_images(work(100, 40), model.network.stored)
test, answers = demo_images(work(200, 40), model.network.stored, "val")
print("now asked about drawings, which it has never seen:", images.shape)

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
# out on the way: here, where the colours are and which way a figure is filled. The nearer two tasks are to each other,
# the higher up the best features lie. For photographs of other animals it is fc6 or fc7, as in the paper's section 6.

# %% [markdown]
# Fine-tuning trains all layers from there, at a rate some three times lower than from scratch, and a new last layer
# faster than the others (`--head-lr`). On your own folder of photographs `cualex train` does so by itself:
#
#     cualex train photos                        from the bundled network, where that helps
#     cualex train photos --scratch              from random weights
#     cualex train photos --from weights.safetensors --freeze conv1,conv2 --head-lr 10
