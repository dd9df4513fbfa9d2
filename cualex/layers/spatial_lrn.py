"""Response normalisation within a channel: cuda-convnet's `rnorm`, which the code of 2012 has after norm2."""

from dataclasses import dataclass
from typing import Any, ClassVar

from cualex.engine.contract import Engine
from cualex.engine.map_ops import NormaliseOps
from cualex.layers.lrn import LRN


@dataclass(frozen=True)
class SpatialLRN(LRN):
    """Divide each activity by the strength of its neighbours in the same map.

        y[p, q] = x[p, q] / (k + alpha * SUM over i, j of x[i, j]^2)^beta
        p - n//2 <= i <= p + n//2,  q - n//2 <= j <= q + n//2

    Pixels beyond the edges count as absent. As in LRN the sum is not divided: cuda-convnet and Caffe
    (WITHIN_CHANNEL) divide theirs by n^2, so their alpha is n^2 times ours. The defaults are those of cnorm2 in 2012.
    """

    k: float = 1.0
    alpha: float = 1e-3 / 25
    kind: ClassVar[str] = "spatial_lrn"

    def _alone(self, engine: Engine[Any]) -> NormaliseOps[Any]:
        """Return the engine's functions for this layer."""
        return engine.spatial_lrn
