"""Names under which files that cualex exports say what they are of."""

NETWORK, CLASSES, CHANNEL_MEAN = "cualex.network", "cualex.classes", "cualex.mean"
MEAN = "preprocessing.mean"
