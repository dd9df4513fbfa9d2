"""ReLU and its rivals, and a ReLU that dies.

Without a function between them, two layers are one: a product of two matrices is a matrix. In 2012 the usual function
was tanh or the sigmoid. AlexNet took ReLU, max(0, x): its slope is 1 for every positive input, however large.
"""

# %%
import numpy as np

from cualex.engine.activations import ACTIVATIONS
from cualex.layers import Conv, Dense, MaxPool, Softmax, activation
from cualex.lessons import Learner, demo_images, figure, work

print(f"{'name':12} {'y, the output for the input x':34} slope")
for each in ACTIVATIONS.values():
    print(f"{each.name:12} {each.formula:34} {each.derivative_formula}")
print("a is 0.01 for leaky-relu and 1 for elu, unless one asks for another.")

# %% [markdown]
# A gradient that goes back through a layer is multiplied by the slope there. Far from 0 the sigmoid and tanh are flat,
# *saturated*: almost nothing comes through. ReLU is flat on one side only.

# %%
x = np.linspace(-6, 6, 241)
sigmoid = 1 / (1 + np.exp(-x))
slopes = {"sigmoid": sigmoid * (1 - sigmoid), "tanh": 1 - np.tanh(x) ** 2, "relu": (x > 0) * 1.0}
for name, slope in slopes.items():
    print(f"{name:8} slope at 0.5: {np.interp(0.5, x, slope):.3f}, at 5: {np.interp(5, x, slope):.5f}")

# %% [markdown]
# ReLU's flat side has a price. A filter whose sums are negative for *every* image has the slope 0 for every image: no
# gradient reaches its weights. It is *dead*, and comes back only if the layers below it change. One update with too
# high a rate can do it, by pushing the filter's bias far below 0. That is done by hand here, to all filters of conv2:
# each bias is so low that the largest sum is -0.5.


# %%
def layers(function):
    """Return a small network with an activation."""
    return {
        "conv1": Conv(32, size=5, pad=2, std=0.1),
        "act1": activation(function),
        "pool1": MaxPool(),
        "conv2": Conv(32, size=5, pad=2, std=0.03),
        "act2": activation(function),
        "pool2": MaxPool(),
        "fc3": Dense(10, std=0.03),
        "softmax": Softmax(),
    }


images, labels = demo_images(work(640, 96))


def dead(learner):
    """Return the share of conv2's filters that are flat for all of the images."""
    sums = learner.maps("conv2", images[:64])
    return float((sums <= 0).all(axis=(0, 2, 3)).mean())


results = {}
for function in ("relu", "leaky-relu:0.1", "elu"):
    learner = Learner(layers(function), images, labels, rate=0.01)
    pushed = learner.weights()
    pushed["conv2.bias"][:] = -0.5 - learner.maps("conv2", images[:64]).max()
    learner.parameters.load(pushed)
    before = dead(learner)
    results[function] = learner.train(work(120, 8))
    right = learner.accuracy(images, labels)
    print(f"{function:15} dead at first {before:4.0%}, at the end {dead(learner):4.0%}; its images right {right:.0%}")

# %%
with figure("A network whose conv2 begins dead", 6.5, 2.6) as drawn:
    axes = drawn.subplots()
    for function, losses in results.items():
        axes.plot(losses, label=function)
    axes.axhline(np.log(10), color="gray", linestyle=":", label="guessing, ln 10")
    axes.set(xlabel="update", ylabel="loss", ylim=(0, None))
    axes.legend()

# %% [question]
# All three networks begin with filters that are below 0 for every image. Why can two of them learn?

# %% [answer]
# Below 0 leaky ReLU has the slope 0.1 here (0.01 by default) and ELU the slope e^x: small, but not 0. A gradient
# still reaches the weights, and pulls the sums back. ReLU's slope there is 0: its loss stays at ln 10, that of
# guessing among ten classes. ELU overshoots at first, as all of its filters come back at once. The other cures are
# not to kill it at all: a lower rate, a rate that begins low (warm-up, `cualex train --warmup`), and biases that
# begin at 1, as conv2, conv4 and conv5 of AlexNet have them.
