"""The plan: network, placement, engine, batch, precision and mode become steps and buffers."""

from cualex.plan.explain_plan import ExplainPlan
from cualex.plan.plan import Plan
from cualex.plan.reconstruction import ReconstructionPlan
from cualex.plan.step import Outcome

__all__ = ["ExplainPlan", "Outcome", "Plan", "ReconstructionPlan"]
