"""Devices: places that compute, `cpu` and `cuda:0`, and which tower is on which."""
