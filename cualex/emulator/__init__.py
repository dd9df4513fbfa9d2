"""Kernels on the CPU, thread by thread, as hostile as CUDA allows: `cualex emulate`, and `run` from Python.

`build` compiles a kernel by g++ for the emulated machine, which is the C++ of machine/; `binding` is that machine from
Python. `user` runs a kernel of a user's file: `source` takes it out of the file, `arguments` makes what it is called
with, `report` is what comes of it. tests/emulator runs the kernels of the network, with streams and several GPUs.
"""

from cualex.emulator.report import Finding, Report, Requests
from cualex.emulator.user import run

__all__ = ["Finding", "Report", "Requests", "run"]
