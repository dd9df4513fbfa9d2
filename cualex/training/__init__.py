"""Training: recipe, learning-rate schedules, the loop, checkpoints and the run directory."""
