"""What a network sees: explanations of its scores, and the images that its filters and features are about.

`Model.explain`, `strongest`, `dream`, `neighbours` and `embedding` are made of these.
"""

from cualex.explain.activation_maximisation import Dream, dream
from cualex.explain.explanation import METHODS, Explanation, explain
from cualex.explain.linear_probe import Probe, probe
from cualex.explain.neighbours import Embedding, Neighbour, nearest, principal_components
from cualex.explain.passes import Passes
from cualex.explain.receptive_fields import ReceptiveField, receptive_field
from cualex.explain.strongest import Strongest

__all__ = [
    "METHODS",
    "Dream",
    "Embedding",
    "Explanation",
    "Neighbour",
    "Passes",
    "Probe",
    "ReceptiveField",
    "Strongest",
    "dream",
    "explain",
    "nearest",
    "principal_components",
    "probe",
    "receptive_field",
]
