"""Evaluate networks on a set of images."""

from cualex.evaluation.measure import check_classes, check_together, evaluate
from cualex.evaluation.result import TOP5, UNEVEN, Evaluation, accuracies, entropy, uneven

__all__ = [
    "TOP5",
    "UNEVEN",
    "Evaluation",
    "accuracies",
    "check_classes",
    "check_together",
    "entropy",
    "evaluate",
    "uneven",
]
