"""Random numbers without state: pure functions of seed, purpose, layer, step and element."""
