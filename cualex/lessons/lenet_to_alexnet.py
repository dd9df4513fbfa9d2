"""From LeNet to AlexNet.

Fourteen years lie between LeNet-5 (1998), which read the digits of bank cheques, and AlexNet. The idea is the same:
convolutions and pools, then dense layers. What changed?
"""

# %%
import textwrap

import cualex
from cualex.lessons import figure

summaries = {name: cualex.summary(name) for name in ("lenet5", "alexnet")}
for name, summary in summaries.items():
    totals = summary.totals
    print(f"{name:8} {totals.parameters:>11,} parameters  {totals.multiply_adds:>12,} multiply-adds for an image")
old, new = (summary.totals for summary in summaries.values())
print(f"ratio    {new.parameters / old.parameters:>11,.0f}             {new.multiply_adds / old.multiply_adds:>12,.0f}")

# %% [markdown]
# A thousand times the weights, and nearly two thousand times the work. The layers by name:

# %%
for name, summary in summaries.items():
    print(
        textwrap.fill(f"{name}: {' '.join(row.layer for row in summary.rows)}", 100, subsequent_indent="    "),
        end="\n\n",
    )

# %% [markdown]
# *norm* is local response normalisation; at an *exchange* and a *join* the two towers of AlexNet meet; *drop* is
# dropout. Each has a lesson.

# %% [markdown]
# | | LeNet-5 | AlexNet |
# |---|---|---|
# | images | 32x32, grey | 227x227, colours less their mean |
# | activation | tanh | ReLU |
# | pooling | average of 2x2 | largest of 3x3, overlapping |
# | normalisation | none | across channels |
# | against over-fitting | little was needed | dropout, augmentation |
# | classes, training images | 10, 60,000 | 1,000, 1.2 million |
# | trained on | a workstation | two GPUs of 3 GB, five to six days |

# %% [question]
# Where do AlexNet's weights lie, in its convolutions or in its dense layers? And its work?

# %%
rows = {row.layer: row for row in summaries["alexnet"].rows if row.multiply_adds}
with figure("Parameters and multiply-adds of alexnet", 9.0, 2.6) as drawn:
    for axes, count in zip(drawn.subplots(1, 2), ("parameters", "multiply_adds"), strict=True):
        axes.bar(list(rows), [getattr(row, count) / 1e6 for row in rows.values()])
        axes.set(title=count.replace("_", "-"), ylabel="millions")
for count in ("parameters", "multiply_adds"):
    dense = sum(getattr(row, count) for name, row in rows.items() if name.startswith("fc"))
    print(f"dense layers have {dense / getattr(new, count):.0%} of the {count.replace('_', '-')}")

# %% [answer]
# The weights lie in the dense layers, fc6 first of all; the work lies in the convolutions, whose few weights are used
# at every position. So dropout is where the weights are, and what must be fast is convolution. Networks after AlexNet
# (GoogLeNet, ResNet) kept one dense layer, the classifier, and lost little.
