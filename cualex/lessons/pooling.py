"""Pooling that overlaps.

A pool keeps of each window its largest value: the map becomes smaller, and it matters less where exactly an edge was.
AlexNet's windows are 3x3 and move by 2, so that neighbours share a row or a column. Section 3.4 of the paper.
"""

# %%
import numpy as np

import cualex
from cualex.lessons import demo_images, figure

x = np.array([[1, 2, 0, 0, 3], [0, 0, 1, 0, 0], [5, 0, 2, 0, 1], [0, 4, 0, 0, 0], [0, 0, 0, 6, 0]])


def pool(x, size, stride):
    """Return the largest value of each window, the windows from the top left, as many as fit."""
    count = (len(x) - size) // stride + 1
    starts = range(0, count * stride, stride)
    return np.array([[x[i : i + size, j : j + size].max() for j in starts] for i in starts])


print(x, "3x3, moved by 2:", pool(x, 3, 2), "2x2, moved by 2:", pool(x, 2, 2), sep="\n")

# %% [markdown]
# Both give 2 x 2 values. The overlapping windows read every pixel; those of 2x2 leave the last row and column unread,
# and with them the 6. The 5 in the middle of the left side is in two of the windows of 3x3: it counts twice.

# %% [question]
# How large are AlexNet's maps after pool1, pool2 and pool5, where conv1 gives 55x55, conv2 27x27 and conv5 13x13? Would
# windows of 2x2 give other sizes?

# %%
for size in (3, 2):
    print(f"windows of {size}x{size}:", ", ".join(str((side - size) // 2 + 1) for side in (55, 27, 13)))

# %% [answer]
# 27, 13 and 6 in both cases. Since 55, 27 and 13 are odd, windows of 2x2 leave a row and a column out each time. The
# paper found 0.4 percentage points less top-1 error with 3x3 (the likeliest class is wrong that much less often). The
# sizes being alike, it is what the windows see that makes the difference.

# %% [markdown]
# What a pool does to an image that moves: the bundled network (AlexNet at half width), and how much the maps of its
# layers change when the image moves to the right by some pixels, and comes in again on the left. 100 % is a change as
# long as the maps themselves, as vectors. norm1 and norm2 are the maps that pool1 and pool2 read.

# %%
model = cualex.load("cifar10")
images, _ = demo_images(32, model.network.stored)
for layer in ("norm1", "pool1", "norm2", "pool2", "relu5", "pool5"):
    change = []
    for pixels in (1, 2, 4):
        before, after = model.features(images, layer), model.features(np.roll(images, pixels, axis=2), layer)
        change.append(np.linalg.norm(after - before) / np.linalg.norm(before))
    print(f"{layer:6} 1, 2 and 4 pixels:", "  ".join(f"{each:4.0%}" for each in change))

# %% [markdown]
# Each pool's output changes less than the maps that it reads. But it does change: after all three pools a shift of four
# pixels still shows.
#
# Now one map of norm1, pooled as AlexNet does, and as LeNet did, by the average.

# %%
maps = model.features(images[:1], "norm1")[0, 5]
windows = np.lib.stride_tricks.sliding_window_view(maps, (3, 3))[::2, ::2]
shown = {"norm1": maps, "largest of each window": windows.max(axis=(2, 3)), "average": windows.mean(axis=(2, 3))}
with figure("One map, pooled", 7.0, 2.5) as drawn:
    for axes, (name, values) in zip(drawn.subplots(1, 3), shown.items(), strict=True):
        axes.imshow(values, cmap="gray")
        axes.set_title(f"{name}, {values.shape[0]}x{values.shape[1]}")
        axes.set_axis_off()
same = (shown["largest of each window"] == model.features(images[:1], "pool1")[0, 5]).all()
print("The largest values are those of the network's pool1:", same)

# %% [markdown]
# The largest value keeps thin lines that the average blurs. `cualex experiment non-overlapping-pooling --results` has
# what overlapping gained on whole trainings here.
