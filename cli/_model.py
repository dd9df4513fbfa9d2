"""The network that a command works with: of the weights file that was named, or of the newest finished run."""

from pathlib import Path

from cualex.cli import _output


def load(weights: Path | None, device: str, precision: str | None, bundled: bool = False) -> tuple:
    """Return the weights file's path and its Model; say aloud which one where none was named.

    bundled: where there is no finished run, take the pretrained network that comes with cualex.
    """
    from cualex import model

    weights = weights or chosen(bundled)
    return weights, model.load(weights, device, precision, _output.Compiling())


def chosen(bundled: bool) -> Path:
    """Return the weights of the newest finished run or, with `bundled`, those that come with cualex; say which."""
    from cualex import pretrained
    from cualex.errors import UsageError
    from cualex.training.run import newest_weights

    try:
        weights = newest_weights()
        _output.say(f"Weights: {weights} (newest finished run).")
    except UsageError as error:
        if not bundled:
            raise
        if not pretrained.FOR_PHOTOGRAPHS:
            raise UsageError(
                f"{error}; or use --weights {pretrained.NAME}, the bundled network of ten classes "
                f"({pretrained.CLASSES}), which is right on fewer than half of real photographs"
            ) from None
        weights = Path(pretrained.NAME)
        _output.say(
            f"Weights: {pretrained.NAME}, the bundled pretrained network, for {pretrained.CLASSES}. "
            "`cualex train FOLDER` trains one for other classes."
        )
    return weights
