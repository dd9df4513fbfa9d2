"""Where the time of a step goes: each step of a plan by itself, against what its device can do."""
