"""Profiling: the steps of a plan one by one, against the roofline of the device."""
