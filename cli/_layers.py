"""What a look at the layers has found, as a training prints it: a line, or with --watch a table."""


def line(found) -> str:
    """Say in a line how fast weights move, the share of zeros, and that of dead filters of each layer that has any."""
    moved = {
        name.removesuffix(".weight"): size.change / size.mean
        for name, size in found.sizes.items()
        if name.endswith(".weight") and size.mean and size.change is not None
    }
    parts = []
    if moved:
        slow, fast = min(moved, key=moved.get), max(moved, key=moved.get)
        parts.append(f"|dw|/|w| {moved[slow]:.1e} ({slow}) to {moved[fast]:.1e} ({fast})")
    if found.activity:
        zeros = [activity.zeros for activity in found.activity.values()]
        dead = {name: activity.dead for name, activity in found.activity.items() if activity.dead}
        listed = ", ".join(f"{name} {share:.0%}" for name, share in dead.items()) or "none"
        parts += [f"zeros {min(zeros):.0%} to {max(zeros):.0%}", f"dead: {listed}"]
        if lost := [name for name, share in dead.items() if share == 1]:
            parts.append(f"nothing passes {lost[0]}: the rate is too large")
    return "  " + "; ".join(parts)


def table(found) -> list[str]:
    """Write a line for each layer that has parameters or is a ReLU, in the order of the network."""
    form = "  {:<12} {:>10} {:>10} {:>10} {:>10} {:>7} {:>7}"
    means, deviations = (_levels(each) for each in (found.input.mean, found.input.deviation))
    lines = [f"  input: mean {means}, deviation {deviations} (red, green, blue, in levels of 0 to 255)"]
    lines.append(form.format("layer", "mean |w|", "|dw|", "mean |b|", "|db|", "zeros", "dead").rstrip())
    for layer in found.layers:
        sizes = [found.sizes.get(f"{layer}.{last}") for last in ("weight", "bias")]
        cells = [text for size in sizes for text in _cells(size)]
        activity = found.activity.get(layer)
        cells += [f"{activity.zeros:.1%}", f"{activity.dead:.1%}"] if activity else ["", ""]
        lines.append(form.format(layer, *cells).rstrip())
    return lines


def _levels(values) -> str:
    return ", ".join(f"{value:.1f}" for value in values)


def _cells(size) -> list[str]:
    if size is None:
        return ["", ""]
    return [f"{size.mean:.3e}", "" if size.change is None else f"{size.change:.3e}"]
