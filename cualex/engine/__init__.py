"""The arithmetic, for one kind of device each: `host` is NumPy, `cuda` launches our kernels."""

from typing import Any

from cualex.engine.contract import Engine


def find(name: str) -> Engine[Any]:
    """Return the engine that a device names: "host" or "cuda"."""
    if name == "host":
        from cualex.engine import host

        return host.ENGINE
    from cualex.engine import cuda

    return cuda.ENGINE
