"""Activations by name: y = f(x), and dx = dy f'(x). Arrays are (towers, images, ...); kernels/activations.cuh."""

from cualex.engine import activations
from cualex.engine.cuda.launching import elementwise


def forward(device, x, y, *, function) -> None:
    """Apply the function."""
    elementwise(device, "activation_forward", (x, y), **_constants(function))


def backward(device, kept, dy, dx, *, function) -> None:
    """Multiply the gradient by the derivative, computed from `kept`, y or x; `dx` may be `dy` itself."""
    elementwise(device, "activation_backward", (kept, dy, dx), **_constants(function))


def _constants(function: str) -> dict[str, str | float]:
    """Return the function's name in activations.cuh, and its parameters."""
    found = activations.find(function)
    return {"FUNCTION": found.kernel, "PARAMETER": found.a, "OFFSET": found.offset}
