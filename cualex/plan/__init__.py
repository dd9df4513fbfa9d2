"""The plan: network, placement, engine, batch, precision and mode become steps and buffers."""

from cualex.plan.plan import Outcome, Plan

__all__ = ["Outcome", "Plan"]
