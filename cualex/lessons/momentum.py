"""Gradient descent with momentum and weight decay.

AlexNet's update, for every weight w with the gradient g of the loss, the rate e, momentum 0.9 and decay 0.0005:

    v <- 0.9 v - 0.0005 e w - e g
    w <- w + v

Section 5 of the paper.
"""

# %%
import numpy as np

from cualex.layers import Conv, Dense, MaxPool, ReLU, Softmax
from cualex.lessons import Learner, demo_images, figure, work

# %% [markdown]
# A valley that is steep across and flat along: the loss is (50 a^2 + b^2) / 2. Plain descent must go in small steps, or
# it jumps from side to side; along the valley it then hardly moves.


# %%
def descend(rate, momentum, steps=60):
    """Return the path of descent from (1, 10)."""
    w, v, path = np.array([1.0, 10.0]), np.zeros(2), []
    for _ in range(steps):
        path.append(w.copy())
        v = momentum * v - rate * np.array([50.0, 1.0]) * w
        w = w + v
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
# update the sum cancels. So momentum speeds up what is constant, and damps what oscillates.

# %% [markdown]
# The formula beside the program: one update of a small network, computed by hand from its gradients.

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
print("largest difference:", np.abs(learner.weights()["conv1.weight"] - by_hand).max())

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
    axes.legend()
for name, losses in curves.items():
    print(f"{name:24} mean loss of the last ten updates {np.mean(losses[-10:]):.2f}")

# %% [markdown]
# Ten times the rate without momentum goes as far where all is smooth. The difference is in the steep directions, which
# allow no such rate: in deep networks there are always some.
