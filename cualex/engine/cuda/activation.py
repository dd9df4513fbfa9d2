"""Activations by name: y = f(x), and dx = dy f'(x) with the derivative from y. Arrays are (towers, pictures, ...)."""

from cualex.engine.cuda.launching import elementwise

FUNCTIONS = {"tanh": 1, "sigmoid": 2, "softplus": 3, "linear": 4}  # as kernels/activations.cuh has them


def forward(device, x, y, *, function) -> None:
    """Apply the function."""
    elementwise(device, "activation_forward", (x, y), FUNCTION=FUNCTIONS[function])


def backward(device, y, dy, dx, *, function) -> None:
    """Multiply the gradient by the derivative; `dx` may be `dy` itself."""
    elementwise(device, "activation_backward", (y, dy, dx), FUNCTION=FUNCTIONS[function])
