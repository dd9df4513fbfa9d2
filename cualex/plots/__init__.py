"""Plots: training curves, confusion matrices, activations. matplotlib is imported when something is drawn."""
