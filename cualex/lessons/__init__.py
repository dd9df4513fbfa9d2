"""Lessons on AlexNet: short scripts that compute, draw, ask a question and answer it.

A lesson is a Python script in cells (`# %%`), which editors and Jupyter run one by one: read `convolution.py` first.
`cualex lesson NAME` runs it, `cualex lesson NAME --notebook` writes it as a notebook. tools.py has what they share.
"""

from cualex.lessons.lesson import Lesson, find, names
from cualex.lessons.tools import Learner, Unlabelled, demo_images, figure, work

__all__ = ["Learner", "Lesson", "Unlabelled", "demo_images", "figure", "find", "names", "work"]
