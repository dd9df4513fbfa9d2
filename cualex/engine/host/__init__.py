"""The engine for CPUs, in NumPy: a file an operation."""
