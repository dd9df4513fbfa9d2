"""Keras: the layers with weights of `.h5`, `.weights.h5` and `.keras`."""
