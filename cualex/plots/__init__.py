"""Drawings: curves of a training, confusion matrices. matplotlib is imported only when something is drawn."""
