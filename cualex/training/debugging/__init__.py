"""Debugging a training: overfit a few images, check gradients, watch layers, find what is not finite."""
