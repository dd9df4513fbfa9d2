"""Let CuPy find the stand-in, in a process that has not imported it yet. Needs nothing but Python."""

import ctypes
import importlib.util
import os
import sys

MODULE = "cupy_backends.cuda.api.runtime"


class Finder:
    """Give CuPy's runtime module from another file than its wheel's."""

    def __init__(self, file):
        self.file = file

    def find_spec(self, name, path=None, target=None):
        """Find one module; the others are for who comes next."""
        return importlib.util.spec_from_file_location(name, self.file) if name == MODULE else None


def load(libcuda: str, libnvrtc: str, module: str) -> ctypes.CDLL:
    """Load the two libraries, so that they are what is found by their names from now on; return the first."""
    if MODULE in sys.modules:
        raise RuntimeError("CuPy has been imported already: the stand-in for CUDA comes too late")
    sys.meta_path.insert(0, Finder(module))
    library = ctypes.CDLL(libcuda)
    ctypes.CDLL(libnvrtc)
    return library


def load_from_environment() -> None:
    """Load what the parent process has chosen."""
    load(*os.environ["CUDART_LIBRARIES"].split(os.pathsep))
