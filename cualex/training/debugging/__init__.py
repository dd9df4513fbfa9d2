"""Debugging a training: overfit a few images, gradient check, layer statistics, non-finite numbers."""
