"""`cualex summary`: a network as a table."""

from dataclasses import asdict

import click

from cualex.cli import _options, _output


@click.command()
@click.argument("network", default="alexnet")
@click.option("--classes", type=click.IntRange(1), help="Number of classes; the network's own if not given.")
@_options.crop
@_options.as_json
def summary(network: str, classes: int | None, crop: int | None, as_json: bool) -> None:
    """Print a network's layers, their sizes and what crosses.

    NETWORK is alexnet if not given. Parameters, multiply-adds and neurons are of all towers, the output is
    one tower's. Neurons are counted as the paper does: the outputs of convolution and dense layers, without
    the picture.

    \b
    Examples:
        cualex summary
        cualex summary alexnet --classes 10 --crop 131
        cualex summary cifar-relu --json
    """
    from cualex import networks
    from cualex import summary as described

    given = {"classes": classes, "crop": crop}
    built = networks.build(network, **{name: value for name, value in given.items() if value is not None})
    rows = described.rows(built)
    totals = described.totals(rows)
    if as_json:
        _output.document(
            {
                "network": built.name,
                "arguments": built.arguments,
                "layers": [asdict(row) for row in rows],
                "totals": asdict(totals),
            }
        )
        return
    _output.table([_cells(row) for row in rows], _counts(totals) | {"layer": "total"})
    stored, crop = built.stored, built.crop
    click.echo(f"\nPictures are stored at {stored} x {stored}; the network sees {crop} x {crop} of them.")
    if totals.sent:
        said = " and ".join(f"{floats:,} (tower {tower})" for tower, floats in enumerate(totals.sent, 1))
        click.echo(f"Floats sent for a picture where towers lie apart, forward and backward: {said}.")


def _cells(row) -> dict:
    """Write a row for the table, in columns that fit a terminal of 80."""
    return {
        "layer": row.layer,
        "tower": "+".join(map(str, row.towers)),
        "output": "x".join(map(str, row.output if row.output[1:] != (1, 1) else row.output[:1])),
        **_counts(row),
        "crosses": _crosses(row.sent_forward),
    }


def _counts(of) -> dict:
    return {"parameters": of.parameters, "multiply-adds": of.multiply_adds, "neurons": of.neurons}


def _crosses(sent: tuple[int, ...]) -> str:
    senders = {tower: floats for tower, floats in enumerate(sent, 1) if floats}
    if len(senders) > 1 and len(set(senders.values())) == 1:
        return f"{sent[0]:,} each way"
    return ", ".join(f"{floats:,} from {tower}" for tower, floats in senders.items())
