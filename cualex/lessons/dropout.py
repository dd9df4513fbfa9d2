"""Dropout.

In training each unit of fc6 and fc7 is set to 0 with probability 1/2, anew for every image and update. No unit can rely
on another one being there. At test time all units are there, and their outputs are halved, which comes near to the
average of all the networks that the random choices made. Section 4.2 of the paper.
"""

# %%
import numpy as np

from cualex.layers import Conv, Dense, Dropout, MaxPool, ReLU, Softmax
from cualex.lessons import Learner, demo_images, figure, work

random = np.random.default_rng(7)
x = np.array([3.0, 1.0, 2.0, 4.0])
for update in range(3):
    mask = random.random(4) >= 0.5  # True: this unit stays
    print(f"update {update}: {x} -> {x * mask}")
print(f"test:     {x} -> {x / 2}")

# %% [question]
# A unit adds up the 4,096 outputs of the layer below. What is its expected sum in training, beside the sum at test
# time? What would go wrong without the factor 1/2?

# %%
outputs, weights = random.random(4096), random.normal(size=4096)
sums = [(outputs * weights * (random.random(4096) >= 0.5)).sum() for _ in range(2000)]
print(
    f"mean over 2,000 masks {np.mean(sums):.2f} (standard error {np.std(sums) / len(sums) ** 0.5:.2f}), "
    f"all units halved {(outputs * weights).sum() / 2:.2f}, all units {(outputs * weights).sum():.2f}"
)

# %% [answer]
# Each output is there in half of the updates, so the expected sum is half of the whole. Without the factor every unit
# above would see sums twice as large as those that it was trained with. (Frameworks of today multiply by 2 in training
# instead, "inverted" dropout, and do nothing at test time.)

# %% [markdown]
# What it is for: few images, and a network that could learn them by heart.


# %%
def layers(probability):
    """Return a network with a wide dense layer."""
    drop = {"drop3": Dropout(probability, inverted=False)} if probability else {}
    return {
        "conv1": Conv(32, size=5, pad=2, std=0.1),
        "relu1": ReLU(),
        "pool1": MaxPool(),
        "conv2": Conv(32, size=5, pad=2, std=0.03),
        "relu2": ReLU(),
        "pool2": MaxPool(),
        "fc3": Dense(512, std=0.02),
        "relu3": ReLU(),
        **drop,
        "fc4": Dense(10, std=0.02),
        "softmax": Softmax(),
    }


images, labels = demo_images(100)
test, answers = demo_images(work(300, 50), split="val")
curves = {}
for probability in (0.0, 0.5):
    learner = Learner(layers(probability), images, labels, rate=0.01)
    curves[probability] = learner.train(work(150, 10))
    chosen = learner.model.probabilities(test)[np.arange(len(answers)), answers]
    print(
        f"dropout {probability}: loss of the 100 images {np.mean(curves[probability][-10:]):.3f}, "
        f"of new ones {-np.log(chosen).mean():.3f}; new ones right {learner.accuracy(test, answers):.0%}"
    )

# %%
with figure("Loss of 100 images", 6.5, 2.6) as drawn:
    axes = drawn.subplots()
    for probability, losses in curves.items():
        axes.plot(losses, label=f"dropout {probability}", linewidth=1)
    axes.set(xlabel="update", ylabel="loss")
    axes.legend()

# %% [markdown]
# Both learn their hundred images, the network with dropout more slowly. On new images it is right about as often (of
# 300, seven percentage points could be chance), and its loss is lower: it gives the true classes more probability.
# The gain depends on the network: `cualex lesson small-data` has another one. The paper says that dropout takes about
# twice as many updates, and that without it the network overfits substantially. `cualex experiment no-dropout` trains
# the paper's network with and without it.
