"""The paper's experiments: as data, and what runs, measures and compares them."""
