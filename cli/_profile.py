"""How a profile is printed: the table, its sum beside the step, links, data and PyTorch."""

import math

from cualex.cli import _output

NUMBERS = ("ms", "p95", "share", "GFLOP", "MB", "GFLOP/s", "GB/s", "roof")  # columns


def show(measured) -> None:
    """Print the table, its sum beside the step, links, data and PyTorch, and the conditions."""
    said, form = measured.conditions, "{:9.2f}" if measured.serial > 0.1 else "{:9.3f}"

    def ms(seconds: float) -> str:
        return form.format(1000 * seconds)

    _output.echo(
        f"{said['network']['name']}, {said['mode']}, batch size {said['batch_size']} on {said['device']} "
        f"({said['precision']}); {said['repeat']} passes."
    )
    for name, roof in measured.rooflines.items():
        _output.echo(
            f"Roofline of {name}: {roof.operations_per_s / 1e9:.4g} GFLOP/s and {roof.bytes_per_s / 1e9:.4g} GB/s, "
            f"measured in this run by\n{roof.measured}."
        )
    _output.echo()
    rows = [_cells(row, measured, ms) for row in measured.rows]
    spare = ["p95", *(["tower"] if len({row.place for row in measured.rows}) == 1 else []), "GB/s", "GFLOP/s"]
    _output.table(rows, {"layer": "total", "ms": ms(measured.sum).strip(), **_work(measured, measured)}, spare, NUMBERS)
    images = said["batch_size"] // (measured.sums["ranks"] if measured.sums else 1)  # of the rows
    _output.echo(
        f"\nGFLOP: operations, 2 per multiply-add; MB: bytes read and written, each once; of a\n"
        f"batch of {images}. dx: gradient of the layer's input; dw: of its parameters, and update."
    )
    _output.echo("\n" + "\n".join(f"{ms(seconds)} ms  {what}" for seconds, what in _sums(measured)))
    if not measured.attributed:
        _output.echo("More than 3 % of the time is in no row: the table is incomplete.")
    if measured.disturbed:
        _output.echo(
            "The machine was busy: the medians are more than 3 % from adding up, and the gain is as uncertain.\n"
            "Keep the machine idle, or raise --repeat."
        )
    _output.echo(f"\n{_links(measured.rows)}\n{_overlap(measured)}{_waiting(measured.waiting)}")
    if measured.waiting and measured.waiting.rates:
        images = said["batch_size"] / measured.real
        _output.echo(f"Images/s that one CPU core prepares; the step needs {images:.4g}:\n")
        _output.table([_stage(rate, images) for rate in measured.waiting.rates])
    if measured.sums:
        _over_ranks(measured.sums)
    if measured.torch:
        _against(measured, ms)
    if measured.model:
        _modelled(measured.model, ms)
    _output.echo(f"\n{_output.machine(said)}\nCommand: {said['command']}")


def _cells(row, measured, ms) -> dict:
    """Return a row of the table, of which a terminal of 80 columns has room for what matters most."""
    rate = row.operations / row.seconds / 1e9
    return {
        "layer": row.name,
        "tower": "+".join(map(str, row.towers)),
        "pass": " ".join(row.gives) or row.direction,
        "ms": ms(row.seconds).strip(),
        "p95": ms(row.p95).strip(),
        "share": f"{row.share:.1%}",
        **_work(row, measured),
        "GFLOP/s": f"{rate:.1f}" if rate else "",
        "GB/s": f"{row.bytes / row.seconds / 1e9:.1f}",
        "roof": f"{row.roofline:.0%}",
        "bound by": row.bound,
    }


def _work(of, measured) -> dict:
    """Return the cells of operations and bytes, to a thousandth or so of those of the step."""
    counts = (of.operations / 1e9, measured.operations / 1e9), (of.bytes / 1e6, measured.bytes / 1e6)
    cells = [f"{own:.{max(0, 3 - math.floor(math.log10(total)))}f}" if own else "" for own, total in counts]
    return dict(zip(("GFLOP", "MB"), cells, strict=True))


def _sums(measured) -> list[tuple[float, str]]:
    """List what the rows come to, and the real step beside it."""
    serial, images = measured.serial, measured.conditions["batch_size"] / measured.real
    gained = measured.gained / serial
    saved = f"{gained:.1%}" if gained >= 0 else f"nothing, {-gained:.1%} longer"
    return [
        (measured.sum, "sum of the rows"),
        (measured.rest, f"in no row: {measured.rest / serial:.1%} of the serial step"),
        (measured.spread, "by which the medians do not add up"),
        (serial, "serial step: one operation at a time"),
        (measured.gained, f"saved by overlap and graph: {saved}"),
        (measured.real, f"actual step: {images:.4g} images/s"),
    ]


def _links(rows) -> str:
    """Return the bytes copied between devices: half of what a copy moves, which reads as much as it writes."""
    links = [row for row in rows if row.kind == "link"]
    if not links:
        return "Links: none; all towers are on one device."
    seconds, crossed = sum(row.seconds for row in links), sum(row.bytes // 2 for row in links)
    lines = [
        f"  {row.name} {row.direction}, from tower {'+'.join(map(str, row.towers))}: "
        f"{row.bytes // 2:,} bytes, {row.bytes / 2 / row.seconds / 1e9:.3g} GB/s"
        for row in links
    ]
    total = f"{crossed:,} bytes in {1000 * seconds:.4g} ms, {crossed / seconds / 1e9:.3g} GB/s"
    return "\n".join(["Links between devices:", *lines, f"  all: {total}"])


def _overlap(measured) -> str:
    """Return what ran beside what on GPUs, a line each."""
    overlap, names = measured.overlap, measured.conditions["device"].split(",")
    if not overlap:
        return ""
    busy = ", ".join(f"{name} computes {1000 * overlap.busy(place):.4g} ms" for place, name in enumerate(names))
    lines = [f"Overlap, of a step of {1000 * overlap.seconds:.4g} ms with all streams at once:", f"  {busy}"]
    if len(names) > 1:
        lines[-1] += f", both at once {1000 * overlap.together:.4g} ms ({overlap.together / overlap.seconds:.0%})"
        hidden = _share(overlap.links_hidden, overlap.links)
        lines.append(f"  links {1000 * overlap.links:.4g} ms, {hidden} of it beside computation")
    for load in overlap.loads():
        rate = f"{load.bytes / load.seconds / 1e9:.3g} GB/s, " if load.seconds else ""
        lines.append(
            f"  next batch from the host to {names[load.place]}: {load.bytes:,} bytes in {1000 * load.seconds:.4g} ms, "
            f"{rate}{_share(overlap.hidden(load), load.seconds)} of it beside computation"
        )
    return "\n".join(lines) + "\n"


def _share(part: float, whole: float) -> str:
    """Return a fraction of a time that may be shorter than the clock can tell."""
    return f"{part / whole:.0%}" if whole else "none"


def _over_ranks(sums: dict) -> None:
    """Print the sums over ranks."""
    rows = [
        {
            "sum": row["sum"],
            "MB": f"{row['bytes'] / 1e6:.2f}",
            "begun after, ms": f"{row['begun_milliseconds']:.2f}",
            "alone, ms": f"{row['alone_milliseconds']:.2f}",
            "exposed, ms": f"{row['exposed_milliseconds']:.2f}",
        }
        for row in sums["rows"]
    ]
    exposed = sums["exposed_milliseconds"]
    _output.echo(f"\nSums over {sums['ranks']} ranks, of the actual step; the rows above are of rank 0's images.\n")
    _output.table(rows)
    _output.echo(
        f"\nA rank waits for losses and sums {exposed['least']:.2f} ms (the last to come) to {exposed['most']:.2f} ms; "
        f"alone the sums take {sums['alone_milliseconds']:.2f} ms.\n"
        f"Sent: {sums['bytes'] / 1e6:.2f} MB from each rank in an update; the formula says "
        f"{sums['formula_bytes'] / 1e6:.2f}."
    )


def _waiting(waiting) -> str:
    if waiting is None:
        return "Waiting for data: not measured (name a data set: cualex profile NETWORK DATA)."
    step, waited, handed = (
        1000 * seconds / waiting.steps for seconds in (waiting.seconds, waiting.waited, waiting.handed)
    )
    return (
        f"Waiting for data ({waiting.data}): {waited:.3g} ms of a step of {step:.4g} ms, "
        f"{waiting.waited / waiting.seconds:.1%}; submitting it: {handed:.3g} ms."
    )


def _stage(rate, images: float) -> dict:
    """Return the throughput of a stage on one CPU core, and how many cores keep up with the step."""
    return {
        "stage": rate.stage,
        "images/s": f"{rate.pictures_per_s:10,.0f}",
        "  GB/s": "" if rate.bytes_per_s is None else f"{rate.bytes_per_s / 1e9:6.2f}",
        "of memcpy": "" if rate.of_a_copy is None else f"{rate.of_a_copy:9.0%}",
        "cores to keep up": f"{rate.cores(images):16.3f}",
    }


def _modelled(model: dict, ms) -> None:
    """Print the measured times beside those of the model of kernels, and what that assumes."""
    rows = [
        {
            "step": row["name"],
            "function": row["function"],
            " measured": ms(row["milliseconds"] / 1000),
            "    model": ms(row["modelled_milliseconds"] / 1000) if row["ratio"] else "",
            "ratio": f"{row['ratio']:5.2f}" if row["ratio"] else "",
        }
        for row in model["rows"]
    ]
    _output.echo("\nMeasured beside the model of kernels; ratio 2: the GPU takes twice as long as the model says.\n")
    _output.table(rows)
    _output.echo(
        f"\n{ms(model['milliseconds'] / 1000)} ms  measured, without copies between devices\n"
        f"{ms(model['modelled_milliseconds'] / 1000)} ms  modelled for an {model['gpu']}, ratio {model['ratio']:.2f}\n"
        "\nAssumed\n" + "\n".join(f"  {each}" for each in model["assumptions"])
    )


def _against(measured, ms) -> None:
    """Print PyTorch's time beside ours: a row for what we run in one step."""
    torch, said = measured.torch, measured.conditions["torch"]
    rows = [_beside(row, ms) for row in torch["rows"]]
    update = torch["torch_update_milliseconds"]
    if update is not None:
        rows.append({"layer": "update", **dict.fromkeys(list(rows[0])[1:], ""), "  PyTorch ": ms(update / 1000)})
    _output.echo("\nPyTorch, layer by layer; ratio 2: it takes twice as long. cualex updates in the backward pass.\n")
    _output.table(rows)
    whole = torch["torch_milliseconds"] / 1000
    _output.echo(
        f"\n{ms(measured.serial)} ms  serial step\n{ms(whole)} ms  PyTorch's, ratio {whole / measured.serial:.2f}\n"
        f"PyTorch {said['version']}, {said['threads']} threads, eager, SGD(fused=True), {said['layout']}; "
        f"its allocator: {' '.join(f'{name}={value}' for name, value in said['allocator'].items())}"
    )


def _beside(row: dict, ms) -> dict:
    cells = {"layer": row["layers"]}
    for way, mark in (("forward", ""), ("backward", " ")):
        ours, torch = row[f"{way}_milliseconds"], row[f"torch_{way}_milliseconds"]
        cells[f"{way:>9}"] = ms(ours / 1000) if ours else ""
        cells[f"  PyTorch{mark}"] = "" if torch is None else ms(torch / 1000)
        cells[f"ratio{mark}"] = f"{torch / ours:5.2f}" if torch and ours else ""
    return cells
