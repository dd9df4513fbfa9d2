"""Weights: the weights file, initial values, and parameters on devices."""

from cualex.weights.file import Weights, describe, digest, load, preprocessing, save

__all__ = ["Weights", "describe", "digest", "load", "preprocessing", "save"]
