"""Benchmarks: images per second relative to the machine's matmul rate, in rounds that alternate with PyTorch."""
