"""Plots, in one style (`theme`): networks, what they see, what they make of data, trainings.

matplotlib is imported when one is drawn.
"""
