"""Python imports this at its start where the folder is on PYTHONPATH: the stand-in for CUDA in child processes."""

import os
import runpy
from pathlib import Path

if os.environ.get("CUDART_LIBRARIES"):
    runpy.run_path(str(Path(__file__).parents[1] / "activation.py"))["load_from_environment"]()
