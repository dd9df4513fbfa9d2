"""The plan: network, placement, engine, batch, precision and mode become steps and buffers."""

from cualex.plan.plan import Plan
from cualex.plan.step import Outcome

__all__ = ["Outcome", "Plan"]
