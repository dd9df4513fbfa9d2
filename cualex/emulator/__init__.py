"""Kernels on the CPU, thread by thread, as hostile as CUDA allows."""
