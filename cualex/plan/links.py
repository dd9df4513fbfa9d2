"""Where towers meet: maps of another device are linked, and gradients are brought back and added.

The functions put their steps into a plan that a builder is making. Between towers of one device nothing is copied.
"""

from typing import TYPE_CHECKING

from cualex.layers.maps import Maps, Operand
from cualex.plan.step import Step

if TYPE_CHECKING:
    from cualex.plan.builder import Builder


def gather(build: "Builder", x: Maps, readers: int) -> Maps:
    """Let every reading device have the maps of all towers: link those of another device."""
    home = {tower: place for place in build.places(x) for tower in build.towers_of(place)}
    sources: list[tuple[Operand, ...]] = []
    for place in range(build.places_count):
        own = []
        for tower in range(x.towers if build.own(place, readers) else 0):
            part = x.part(home[tower])
            source = Operand(part, tower - build.towers_of(home[tower])[0])
            if home[tower] != place:
                inbox = build.maps_on(place, f"{part.name} from tower {tower}", 1, x.shape, part.border)
                source = _link(build, source, Operand(inbox, 0))
            own.append(source)
        sources.append(tuple(own))
    channels, rows, columns = x.shape
    return Maps((channels * x.towers, rows, columns), readers, sources=tuple(sources))


def scatter(build: "Builder", x: Maps, dy: Maps) -> Maps:
    """Bring the gradients of what each tower gave back to it, and add them."""
    if build.places_count == 1:
        return Maps(x.shape, x.towers, (dy.sources[0][0].buffer,))
    parts = []
    for place in build.places(x):
        (tower,) = build.towers_of(place)
        given = [dy.sources[place][tower]] if build.own(place, dy.towers) else []
        for other in build.places(dy):
            if other != place:
                inbox = build.maps_on(place, f"{build.below} gradient from place {other}", 1, x.shape)
                given.append(_link(build, dy.sources[other][tower], Operand(inbox, 0)))
        total, *others = given
        for each in others:
            add = build.engine.exchange.add
            build.step(add, reads={"x": each, "y": total}, writes={"y": total}, place=place)
        parts.append(total.buffer)
    return Maps(x.shape, x.towers, tuple(parts))


def gradient(build: "Builder", x: Maps, towers: int, name: str) -> Maps:
    """Make the gradient of what all devices read of so many towers: side by side on one device, apart on several."""
    shape = x.sources[0][0].buffer.maps  # as the engine stores them, which for an image may be blocks of pixels
    sources: list[tuple[Operand, ...]] = []
    for place in range(build.places_count):
        if not build.own(place, x.towers):
            sources.append(())
        elif build.places_count == 1:
            whole = build.maps_on(place, name, towers, shape)
            sources.append(tuple(Operand(whole, tower) for tower in range(towers)))
        else:
            each = [build.maps_on(place, f"{name} {tower}", 1, shape) for tower in range(towers)]
            sources.append(tuple(Operand(part, 0) for part in each))
    return Maps(x.shape, x.towers, sources=tuple(sources))


def _link(build: "Builder", source: Operand, target: Operand) -> Operand:
    """Append a copy between devices, and return its target."""
    place, towers = target.buffer.place, build.towers_of(source.buffer.place)
    what = f"link {build.reader}", "link", (build.reader,), towers, place, "", "link"
    # Whether the loss was finite is known where it is computed; each other device must hear it, once.
    numbers = {"finite": build.kind == "backward" and place not in build.told}
    if numbers["finite"]:
        build.told.add(place)
    build.make(Step(*what, reads={"source": source}, writes={"target": target}, numbers=numbers))
    return target
