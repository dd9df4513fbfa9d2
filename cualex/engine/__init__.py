"""The arithmetic, for one kind of device each; host is NumPy."""
