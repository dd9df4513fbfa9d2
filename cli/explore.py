"""`cualex explore`: a page in the browser that shows how a network sees an image."""

import re
import secrets
import webbrowser
from pathlib import Path

import click

from cualex.cli import _aliases, _model, _options, _output
from cualex.errors import UsageError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@click.command(cls=_aliases.Command)
@click.argument("named", metavar="[WEIGHTS|RUN]", type=_options.FILE, required=False)
@_options.weights
@click.option(
    "--against",
    type=_options.FILE,
    metavar="FILE",
    help="Second weights file or run, of a network with the same layers: the page compares the two.",
)
@click.option(
    "--images",
    type=_options.FILE,
    multiple=True,
    metavar="PATH",
    help="Image file or folder to offer as examples, and to search for what excites a map; repeatable.  [default: "
    "samples of the run, else drawn images of the demo set]",
)
@click.option(
    "--host",
    default=LOOPBACK[0],
    show_default=True,
    help="Address to listen at. Any but this machine's own asks users for a token, which the printed address has.",
)
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 for any that is free.  [default: 8227 if free]")
@click.option("--token", help="Token that users give.  [default: random, and none on this machine's own address]")
@click.option("--no-browser", is_flag=True, help="Print the address only, and open no browser.")
@_options.device
@_options.precision
def explore(
    named: Path | None,
    weights: Path | None,
    against: Path | None,
    images: tuple[Path, ...],
    host: str,
    port: int | None,
    token: str | None,
    no_browser: bool,
    device: str,
    precision: str | None,
) -> None:
    """Show in the browser how a network sees an image.

    An image goes through the network, layer by layer, to the classes. Open a layer for its maps, a map for its filter,
    its receptive field and the arithmetic of each value; cover parts of the image; draw heat maps by covering, Grad-CAM
    or saliency; switch off a tower (the half of the network that one GPU held in 2012), the exchange of maps between
    towers, normalisation or the activation. During a training the page updates live. `cualex tour` writes the page as a
    file that needs no server. Needs the extra page: pip install "cualex[page]".

    \b
    Examples:
        cualex explore
        cualex explore runs/train
        cualex explore best.safetensors --images photos/val
        cualex explore runs/train --against runs/train-2
        cualex explore --host 0.0.0.0 --no-browser
    """
    if token is not None and not re.fullmatch(r"[A-Za-z0-9_-]+", token):
        raise UsageError("--token takes letters, digits, - and _, one at least; without it a random one is drawn.")
    if named and weights:
        raise UsageError(f"two weights files, {named} and {weights}: give one, and --against for the other.")
    try:
        from cualex.page import answers, app, gallery, live, seeing, serving
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn"):
            raise
        raise UsageError(f'{error.name} is not installed: pip install "cualex[page]"') from None
    source = live.Live(named or weights or _model.chosen(inside=True))
    given = [source.weights(), *([live.Live(against).weights()] if against else [])]
    seeing.check_alike(given)
    seers = [seeing.Seer(each, device, precision) for each in given]
    page = answers.Page(seers, gallery.found(images, source.run), source)
    page.warm()
    if token is None:
        token = "" if host in LOOPBACK else secrets.token_urlsafe(16)
    with serving.bound(host, port) as listening:
        name = serving.name(host)
        address = serving.address(listening, name) + (f"#token={token}" if token else "")
        _output.say("Stop with Ctrl-C.")
        click.echo(address)
        if not no_browser:
            webbrowser.open(address)
        serving.serve(app.app(page, name, token), listening)
