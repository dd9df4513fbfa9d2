"""The network that a command works with: of the weights file that was named, or of the newest finished run."""

from collections.abc import Mapping
from pathlib import Path

from cualex.cli import _output


def load(
    weights: Path | None, device: str, precision: str | None, bundled: bool = False, inside: bool = False
) -> tuple:
    """Return the weights file's path and its Model; say aloud which one where none was named. See `chosen`."""
    from cualex import model
    from cualex.weights import initial

    weights = weights or chosen(bundled, inside)
    found = model.load(weights, device, precision, _output.Compiling())
    if said := initial.said(found.untrained, found.network):
        _output.say(f"Note: {weights} is {said[0].lower()}{said[1:]}")
    return weights, found


def weights_named(named: str, given: Mapping[str, object], variant: tuple[str, ...] = ()) -> Path | None:
    """Return the weights file that an argument NETWORK names, or the run; None where it is an architecture.

    Raise UsageError for options that the file sets itself: `given`, by name, None where not given, and --variant.
    """
    from cualex import networks, pretrained
    from cualex.errors import UsageError

    path = Path(named)
    is_file = path.exists() or path.suffix == ".safetensors" or named == pretrained.NAME
    if named in networks.names() or not is_file:
        return None
    if set_here := [name for name, value in given.items() if value is not None] + ["variant"] * bool(variant):
        raise UsageError(f"--{set_here[0]}: {named} sets that itself; leave the option out")
    return path


def chosen(bundled: bool = False, inside: bool = False) -> Path:
    """Return the weights of the newest finished run, and say so.

    bundled: where there is no finished run, take the pretrained network that comes with cualex, if it is good enough
    for photographs; with `inside`, to look into a network, in any case.
    """
    from cualex import pretrained
    from cualex.errors import UsageError
    from cualex.training.run import newest_weights

    try:
        weights = newest_weights()
        _output.say(f"Weights: {weights} (newest finished run).")
    except UsageError as error:
        if not (bundled or inside):
            raise
        if not (inside or pretrained.FOR_PHOTOGRAPHS):
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
