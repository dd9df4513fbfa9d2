"""What the first layer of a plan reads: stored images become crops without their mean; or images as they are given."""

from typing import TYPE_CHECKING

import numpy as np

from cualex.layers import Layer
from cualex.layers.maps import Maps, Operand
from cualex.networks import Stage

if TYPE_CHECKING:
    from cualex.plan.builder import Builder


def crop(build: "Builder") -> Maps:
    """Put the steps and their inputs into a plan that a builder is making; return what the first layer reads."""
    network, engine, first = build.network, build.engine, next(iter(build.network.stages()))
    stored, seen = (network.stored, network.stored, 3), (3, network.crop, network.crop)
    read, pad = first.layer.picture(engine, seen), first.layer.pad
    border = first.layer.border(seen) if engine.borders else 0
    build.begin("data", Stage(-1, "data", Layer(), first.reading, seen, network.towers))
    sources = []
    for place in range(build.places_count):
        given = {
            "pictures": build.input("pictures", place, (build.batch, *stored), np.uint8),
            "views": build.input("views", place, (build.batch, 3), np.int32),
            "colours": build.input("colours", place, (build.batch, 3), np.float32),
            "mean": build.lasting("mean", place, stored, np.float32),
        }
        for name, buffer in given.items():
            build.inputs[name].append(buffer)
        target = Operand(build.maps_on(place, "picture", 1, read, border), 0)
        build.step(
            engine.crop.forward,
            reads={name: Operand(buffer) for name, buffer in given.items()},
            writes={"y": target},
            place=place,
            crop=network.crop,
            pad=pad,
            scale=network.scale,
            centred=network.mean_at == "centre",
            control=build.control,
        )
        sources.append((target,))
    return Maps(seen, network.towers, sources=tuple(sources))


def given(build: "Builder") -> Maps:
    """Make room for images that are put in as the first layer reads them, real numbers; return them."""
    network, engine, first = build.network, build.engine, next(iter(build.network.stages()))
    seen = first.reading.shape
    border = first.layer.border(seen) if engine.borders else 0
    sources = []
    for place in range(build.places_count):
        image = build.maps_on(place, "picture", 1, first.layer.picture(engine, seen), border)
        image.lasting = True
        sources.append((Operand(image, 0),))
    return Maps(seen, network.towers, sources=tuple(sources))
