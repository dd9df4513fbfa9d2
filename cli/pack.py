"""`cualex pack`: decode a data set ahead of training."""

from pathlib import Path

import click

from cualex.cli import _aliases, _options, _output
from cualex.errors import Unreadable


@click.command(cls=_aliases.Command)
@click.argument("data")
@_options.network
@_options.crop
@_options.val_split
@_options.val
@_options.names
@_options.cache
@_options.workers
@_options.yes
@_options.as_json
def pack(
    data: str,
    network: str,
    crop: int | None,
    val_split: float,
    val: str,
    names: Path | None,
    cache: Path | None,
    workers: int | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Decode a data set into the cache, ahead of training.

    DATA is what `cualex train` takes. A pack is one file per split, with the images decoded and resized for --crop;
    training finds it by --network, --crop, --val-split and --val. Without --crop `cualex train` chooses the crop itself
    and prints it: 67 on a CPU. A pack is rebuilt when the images have changed. Exit code 3: some images could not be
    read.

    \b
    Examples:
        cualex pack photos/ --crop 67
        cualex pack imagenet.tar --yes
        cualex pack "shards/imagenet-{train,validation}-{0000..0007}.tar"
        cualex pack cifar10.zip --network cifar-relu --json
    """
    from cualex import networks
    from cualex.cli._packing import packs
    from cualex.data import sources

    built = networks.named(network, crop=crop)
    source = sources.find(data, val_split=val_split, val=val, names=names)
    for note in source.notes:
        _output.say(f"{source.name}: {note}")
    made = packs(source, source.splits, built.stored, cache=cache, workers=workers, yes=yes)
    if as_json:
        splits = {
            split: {
                "pictures": len(packed),
                "bytes": packed.images.nbytes,
                "path": packed.path,
                "skipped": [{"name": name, "reason": reason} for name, reason in packed.skipped],
            }
            for split, packed in made.items()
        }
        head = {"data": source.name, "classes": source.classes, "notes": source.notes, "size": built.stored}
        _output.document(head | {"splits": splits})
    else:
        rows = [
            {
                "split": split,
                "pictures": len(packed),
                "left out": len(packed.skipped),
                "classes": len(source.classes),
                "size": _output.size(packed.images.nbytes),
                "pack": str(packed.path),
            }
            for split, packed in made.items()
        ]
        _output.table(rows)
    if skipped := sum(len(packed.skipped) for packed in made.values()):
        said = "1 image was skipped because it" if skipped == 1 else f"{skipped:,} images were skipped because they"
        raise Unreadable(f"{said} could not be read; the rest is packed.")
