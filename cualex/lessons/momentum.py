"""Gradient descent with momentum and weight decay.

AlexNet's update, for every weight w with the gradient g of the loss, the learning rate e, momentum 0.9 and weight decay
0.0005; v, the velocity, is the last step:

    v <- 0.9 v - 0.0005 e w - e g
    w <- w + v

Section 5 of the paper.
"""

# %%
import numpy as np

from cualex.layers import Conv, Dense, MaxPool, ReLU, Softmax
from cualex.lessons import Learner, demo_images, figure, work

# %% [markdown]
# A valley that is steep across (a) and flat along (b): the loss is (50 a^2 + b^2) / 2. Both paths begin at a = 1, b =
# 10 and make sixty steps. Plain descent is near the largest rate it can take, 2/50: it jumps from side to side, and
# along the valley each step takes 3.5 % of what is left. With more it would leave the valley.


# %%
def descend(rate, momentum, steps=60):
    """Return the path of descent from (1, 10)."""
    w, v, path = np.array([1.0, 10.0]), np.zeros(2), []
    path.append(w.copy())
    for _ in range(steps):
        v = momentum * v - rate * np.array([50.0, 1.0]) * w
        w = w + v
        path.append(w.copy())
    return np.array(path)


paths = {"plain, rate 0.035": descend(0.035, 0), "momentum 0.9, rate 0.01": descend(0.01, 0.9)}
a, b = np.meshgrid(np.linspace(-1.3, 1.3, 80), np.linspace(-4, 11, 80))
with figure("Sixty steps into a narrow valley", 7.0, 4.0) as drawn:
    for axes, (name, path) in zip(drawn.subplots(2, 1), paths.items(), strict=True):
        axes.set_aspect("equal")
        axes.contour(b, a, (50 * a**2 + b**2) / 2, levels=12, colors="lightgray", linewidths=0.7)
        axes.plot(path[:, 1], path[:, 0], marker=".", markersize=3, linewidth=0.8)
        axes.set(title=name, xlabel="b", ylabel="a")
for name, path in paths.items():
    print(f"{name:24} ends at a = {path[-1, 0]:+.3f}, b = {path[-1, 1]:+.3f}")

# %% [question]
# A gradient stays the same for many updates. How far does a weight move in one of them, with momentum 0.9, beside the
# distance e g without momentum?

# %%
v = 0.0
for update in range(1, 41):
    v = 0.9 * v - 1.0
    if update in (1, 2, 5, 10, 20, 40):
        print(f"update {update:2}: v = {v:.2f} e g")

# %% [answer]
# Ten times as far: v comes to -e g (1 + 0.9 + 0.81 + ...) = -10 e g. Where gradients change their sign from update to
# update the sum nearly cancels. So momentum speeds up what is constant. It does not damp what oscillates, as the plot
# shows: across the valley its path swings for longer. It gains because it can take the flat direction at ten times the
# rate that the steep one allows.

# %% [markdown]
# Weight decay takes the share 0.0005 e of every weight away at each update. A weight that no gradient needs falls to a
# half in ln 2 / (0.0005 e) updates, a tenth of that with momentum: about 14,000 at e = 0.01. The paper's 90 epochs of
# 1.2 million images in batches of 128 are some 840,000 updates.

# %%
w, v, halved = 1.0, 0.0, 0
while w > 0.5:
    v = 0.9 * v - 0.0005 * 0.01 * w
    w, halved = w + v, halved + 1
print(f"a weight without a gradient is halved after {halved:,} updates")

# %% [markdown]
# The formula and the program: one update of a small network, computed by hand from its gradients.

# %%
images, labels = demo_images(work(320, 96))
layers = {
    "conv1": Conv(24, size=5, pad=2, std=0.1),
    "relu1": ReLU(),
    "pool1": MaxPool(),
    "conv2": Conv(24, size=5, pad=2, std=0.04),
    "relu2": ReLU(),
    "pool2": MaxPool(),
    "fc3": Dense(10, std=0.03),
    "softmax": Softmax(),
}
learner = Learner(layers, images[:32], labels[:32], rate=0.01, decay=0.0005)
before, gradient = learner.weights()["conv1.weight"], learner.gradients()["conv1.weight"]
learner.update()
by_hand = before + (0 - 0.0005 * 0.01 * before - 0.01 * gradient)
print(f"largest difference: {np.abs(learner.weights()['conv1.weight'] - by_hand).max():.1g}")

# %%
curves = {}
for momentum, rate in ((0.0, 0.01), (0.9, 0.01), (0.0, 0.1)):
    learner = Learner(layers, images, labels, rate=rate, momentum=momentum, decay=0.0005)
    curves[f"momentum {momentum}, rate {rate}"] = learner.train(work(120, 8))
with figure("Loss of a small network", 6.5, 2.8) as drawn:
    axes = drawn.subplots()
    for name, losses in curves.items():
        axes.plot(losses, label=name, linewidth=1)
    axes.set(xlabel="update", ylabel="loss", ylim=(0, 3))
    axes.legend(loc="lower left")
for name, losses in curves.items():
    print(f"{name:24} mean loss of the last ten updates {np.mean(losses[-10:]):.2f}")

# %% [markdown]
# Ten times the rate without momentum would go as far if the gradients were constant. That it does not, here, is what
# one expects of steep directions, which allow no such rate.
