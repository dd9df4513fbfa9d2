"""What the bits of a CPU training depend on besides its recipe: the kernels that BLAS, NumPy and libc choose here."""

import platform

import numpy as np
import PIL
import threadpoolctl
from numpy._core._multiarray_umath import __cpu_features__ as features


def bits() -> dict:
    """Return the conditions under which the same training gives the same bits."""
    pools = threadpoolctl.threadpool_info()
    blas = {
        f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')}"
        for pool in pools
        if pool["user_api"] == "blas"
    }
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()),
        "numpy": np.__version__,
        "blas": sorted(blas),
        "features": sorted(name for name, found in features.items() if found),
    }


def pixels() -> dict:
    """Return the conditions under which a file is decoded to the same pixels."""
    return {"pillow": PIL.__version__}
