"""Where towers meet: what lies on another place is linked, and gradients are brought back and added.

The functions put their steps into a plan that a builder is making. Between towers of one place nothing is copied.
"""

from dataclasses import replace

from cualex.plan.buffers import Maps, Operand
from cualex.plan.step import Step


def gather(build, x: Maps, readers: int) -> Maps:
    """Let every reading place have the maps of all towers: link what lies elsewhere."""
    home = {tower: place for place in build.places(x) for tower in build.towers_of(place)}
    sources: list[tuple[Operand, ...]] = []
    for place in range(build.places_count):
        own = []
        for tower in range(x.towers if build.own(place, readers) else 0):
            part = x.parts[home[tower]]
            source = Operand(part, tower - build.towers_of(home[tower])[0])
            if home[tower] != place:
                inbox = build.maps_on(place, f"{part.name} from tower {tower}", 1, x.shape, part.border)
                source = _link(build, source, Operand(inbox, 0))
            own.append(source)
        sources.append(tuple(own))
    shape = (x.shape[0] * x.towers, *x.shape[1:])
    return Maps(shape, readers, sources=tuple(sources))


def scatter(build, x: Maps, dy: Maps) -> Maps:
    """Bring the gradients of what each tower gave back to it, and add them."""
    if build.places_count == 1:
        return Maps(x.shape, x.towers, (dy.sources[0][0].buffer,))
    parts = []
    for place in build.places(x):
        (tower,) = build.towers_of(place)
        mine = dy.sources[place][tower] if build.own(place, dy.towers) else None
        for other in build.places(dy):
            if other == place:
                continue
            inbox = build.maps_on(place, f"{build.below} gradient from place {other}", 1, x.shape)
            arrived = _link(build, dy.sources[other][tower], Operand(inbox, 0))
            if mine is None:
                mine = arrived
            else:
                build.step(place, "exchange.add", reads={"x": arrived, "y": mine}, writes={"y": mine})
        parts.append(mine.buffer)
    return Maps(x.shape, x.towers, tuple(parts))


def gradient(build, x: Maps, towers: int, name: str) -> Maps:
    """Make the gradient of what all places read of so many towers: side by side on one place, apart on several."""
    shape = (x.shape[0] // towers, *x.shape[1:])
    sources = []
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


def _link(build, source: Operand, target: Operand) -> Operand:
    """Append a copy between places, and return its target."""
    place, towers = target.buffer.place, build.towers_of(source.buffer.place)
    step = Step(f"link {build.reader}", "link", (build.reader,), towers, place, "", "link")
    passed = {"backward": build.kind == "backward"}
    build.append(replace(step, reads={"source": source}, writes={"target": target}, numbers=passed))
    return target
