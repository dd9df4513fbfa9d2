"""Weights: the weights file, initial values, and parameters on devices."""

from cualex.weights.file import Weights, digest, load, preprocessing, save

__all__ = ["Weights", "digest", "load", "preprocessing", "save"]
