"""A report as an HTML page: its head, the sections on the training, and their order; measured.py has the others."""

import contextlib
import math
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cualex
from cualex import networks
from cualex.data.split import Split
from cualex.errors import CualexError
from cualex.evaluation import TOP5
from cualex.networks import arguments, differences
from cualex.networks.summary import rows, totals
from cualex.page import charts, measured
from cualex.page.markup import folded, missing, table, text, wide
from cualex.page.report import Report, quick, shown, target
from cualex.plots import towers
from cualex.system import files
from cualex.system.amounts import duration
from cualex.training import confidence
from cualex.training.run import Run, restore
from cualex.weights import initial

PAPER = "alexnet"


def write(report: Report, path: str | Path) -> Path:
    """Write a report as an HTML file, whole or not at all; return its path. Raise OutputError."""
    files.replace_text(path, page(report))
    return Path(path)


def at_end(run: Run, split: Split, called: str, device: str, precision: str | None) -> str | None:
    """Write report.html of a run that has just ended; return what went wrong, which does not fail the training."""
    try:
        write(quick(run, split, called, device, precision), target(run))
    except (CualexError, OSError, MemoryError) as error:
        return f"The report was not written: {error}"
    return None


def page(report: Report) -> str:
    """Return a report as an HTML document without references to anything outside of it."""
    about = headline(report)
    body = "\n".join(
        f'<section id="{name}"><h2>{title}</h2>\n{make(report)}\n</section>' for name, (title, make) in SECTIONS.items()
    )
    contents = "".join(f'<a href="#{name}">{title}</a>' for name, (title, _) in SECTIONS.items())
    tokens, _, _ = charts.style("style.css").partition("\n* {")
    css = "\n".join((tokens, charts.style("charts.css"), charts.style("report.css")))
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src "
        'data:">\n'
        f'<title>{text(_name(report))} - cualex report</title>\n<link rel="icon" href="data:,">\n'
        f"<style>\n{css}\n</style>\n<body>\n{about}\n<nav>{contents}</nav>\n<main>\n{body}\n</main>\n"
        f"<footer>Written by cualex {cualex.__version__}, <code>cualex report</code>.</footer>\n</body>\n</html>\n"
    )


def headline(report: Report) -> str:
    """Return the head: what was trained on what, its accuracy with the interval, and the verdict."""
    found, outcome, classes = report.evaluation, report.outcome, len(report.model.classes)
    cards: list[tuple[str, str, str]] = []
    if "top1" in outcome and "images" in outcome:
        right = round(outcome["top1"] * outcome["images"])
        kind = "validation" if outcome.get("held_out", True) else "training"
        cards += _accuracy(outcome["top1"], outcome["top5"], right, outcome["images"], f"best {kind} top-1", classes)
    elif found:
        cards += _accuracy(found.top1, found.top5, found.right1, found.count, f"top-1, {report.called} images", classes)
    cards.append((f"{classes:,}", "class" if classes == 1 else "classes", ""))
    counts = report.arguments.get("pictures")
    if isinstance(counts, dict):
        numbers = {name: count for name, count in counts.items() if isinstance(count, int) and count}
        said = ", ".join(f"{count:,} {name}" for name, count in numbers.items())
        cards.append((f"{sum(numbers.values()):,}", "images", said))
    cards.append(
        (f"{_millions(totals(rows(report.model.network)).parameters)}", "parameters", report.model.network.name)
    )
    drawn = "".join(
        f"<li><b>{text(number)}</b><span>{text(what)}</span><small>{text(rest)}</small></li>"
        for number, what, rest in cards
    )
    random = initial.said(report.model.untrained, report.model.network)
    return (
        f'<header><p class="made">cualex report</p><h1>{text(_name(report))}</h1>\n'
        f'<ul class="figures">{drawn}</ul>\n{missing(random) if random else ""}{_verdict(report)}</header>'
    )


def _accuracy(
    top1: float, top5: float, right: int, images: int, what: str, classes: int
) -> Iterator[tuple[str, str, str]]:
    low, high = confidence.interval(right, images)
    yield f"{100 * top1:.1f} %", what, f"95 % interval {100 * low:.1f} to {100 * high:.1f} %, {images:,} images"
    if classes >= TOP5:
        yield f"{100 * top5:.1f} %", "top-5", ""


def _verdict(report: Report) -> str:
    judged = report.verdict
    if judged is None:
        return (
            "" if report.run is None else missing("This run has no verdict: it has not come to its end, or is of 0.1.")
        )
    assert report.run
    data = shown(str(report.arguments.get("data", "DATA")))
    head, *rest = judged.lines(shown(report.run.path.resolve()), data, report.run.resumable)
    good = "good" if judged.better else "bad"
    first, _, after = head.partition(":")
    more = "".join(f"<li>{text(line)}</li>" for line in rest)
    return f'<p class="verdict {good}"><b>{text(first)}:</b> {text(after)}</p><ul class="lines">{more}</ul>'


def trained(report: Report) -> str:
    """Return the network as a plot, and what differs from the paper: recipe and architecture."""
    network = report.model.network
    drawn = charts.plot(lambda path, theme: towers.draw(network, path, theme), f"The layers of {network.name}")
    parts = [wide(drawn)]
    recipe = _recipe(report)
    if recipe is None:
        parts.append(missing("Without the run that made these weights, its recipe is not known."))
    else:
        different = [row for row in recipe.against_paper() if row[2]]
        start = report.arguments.get("start")
        begins = f"Trained from the weights of {text(shown(start))}. " if start else ""
        parts.append(f"<p>{begins}Hyperparameters that are not as in the paper: {len(different) or 'none'}.</p>")
        parts.append(table(("hyperparameter", "here", "in the paper"), different))
    paper = networks.build(PAPER)
    own = differences.compare(paper, network)
    if own:
        compared = [(each.where, each.what, each.first or "none", each.second or "none") for each in own]
        said = f"Network: {len(own)} differences from the paper's"
        made = f"<p>{text(network.name)}, {text(arguments.said(network.arguments))}</p>"
        parts.append(folded(said, made + table(("where", "what", "in the paper", "here"), compared)))
    else:
        parts.append("<p>The network is the paper's.</p>")
    return "\n".join(parts)


def curves(report: Report) -> str:
    """Return the loss and the error by epoch."""
    drawn = charts.training(report.run) if report.run else ""
    if not drawn:
        return missing("Curves are of a run whose first epoch has ended.")
    return drawn


def reproduce(report: Report) -> str:
    """Return the machine, the versions, and the command that trains the same again."""
    if report.run is None:
        return missing("Without the run that made these weights, neither its machine nor its options are known.")
    kept, seconds = report.environment, 0.0
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        seconds = report.run.results()[-1]["time"]
    said = {
        "device": report.arguments.get("device"),
        "processor": kept.get("processor"),
        "cores": kept.get("cores"),
        "training time": duration(seconds) if seconds and math.isfinite(seconds) else None,
        "cualex": kept.get("cualex"),
        "Python": kept.get("python"),
        "NumPy": kept.get("numpy"),
        "BLAS": ", ".join(map(str, kept.get("blas") or [])),
        "random seed": (report.arguments.get("recipe") or {}).get("seed"),
    }
    facts = "".join(f"<dt>{name}</dt><dd>{text(value)}</dd>" for name, value in said.items() if value not in (None, ""))
    data = shown(str(report.arguments.get("data", "DATA")))
    command = (
        f"cualex train {shlex.quote(data)} --config {shlex.quote(f'{shown(report.run.path.resolve())}/args.json')}"
    )
    return (
        f"<p>The same images, options and seed give the same bits on the same type of machine:</p>"
        f"<pre>{text(command)}</pre><dl>{facts}</dl>"
    )


SECTIONS: dict[str, tuple[str, Callable[[Report], str]]] = {
    "trained": ("What was trained", trained),
    "curves": ("Curves", curves),
    "classes": ("Classes", measured.classes),
    "confusion": ("Confusion", measured.confusion),
    "filters": ("First filters", measured.filters),
    "mistakes": ("Mistakes", measured.mistakes),
    "profile": ("Profile", measured.profile),
    "reproduce": ("Reproduce", reproduce),
}


def _name(report: Report) -> str:
    """Return what a report is about: the data set, or the weights file."""
    data = report.arguments.get("data")
    run = f", {shown(report.run.path.resolve())}" if report.run else ""
    return f"{shown(str(data))}{run}" if data else Path(report.path).name


def _recipe(report: Report) -> Any:
    """Return the recipe of the run; None without one, or of another version."""
    try:
        return restore.recipe(report.arguments.get("recipe"))
    except (CualexError, TypeError):
        return None


def _millions(number: int) -> str:
    return f"{number / 1e6:.1f} M" if number >= 1e6 else f"{number:,}"
