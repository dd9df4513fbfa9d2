"""Layers as frozen numbers: shapes, parameters and the engine functions that make them."""
