"""The network that a command works with: of the weights file that was named, or of the newest finished run."""

from pathlib import Path

from cualex.cli import _output


def load(weights: Path | None, device: str, precision: str | None) -> tuple:
    """Return the weights file's path and its Model; say aloud which one where none was named."""
    from cualex import model
    from cualex.training.run import newest_weights

    if weights is None:
        weights = newest_weights()
        _output.say(f"Weights: {weights}, of the newest finished run.")
    return weights, model.load(weights, device, precision, _output.Compiling())
