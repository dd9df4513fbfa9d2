"""How long kernels should take: counted from a plan and its compiled kernels, without a GPU.

    planned.py    a plan without a GPU: its launches, and the code of its kernels
    table.py      what they do, a row for each launch, and their total
    counts.py     what a launch does: waves, instructions, bytes; from the plan's arrays and the kernel's SASS
    sass.py       SASS to instructions by kind, loops, registers
    estimate.py   the time of a launch from its counts
    gpus.json     every constant of the model, each with its reason; only a measurement on a GPU changes it

It is a model: nothing here was measured but where gpus.json says so.
"""
