"""Training: the update rule, the schedule of the rate, the loop, checkpoints and the run directory."""
