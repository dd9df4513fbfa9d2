"""Sections of a report on what a network does: classes, confusion, filters, mistakes, and the time of a step."""

import numpy as np

from cualex.errors import CualexError, UsageError
from cualex.evaluation import Evaluation
from cualex.explain.grad_cam import last_maps
from cualex.networks import Network
from cualex.page import charts
from cualex.page.markup import bar, folded, missing, percent, table, text, title, wide
from cualex.page.report import EXPLAINED, Explained, Report
from cualex.plots import confusion as confusion_plot
from cualex.plots import filters as filter_plot
from cualex.profiling.table import Profile

FULL = 20  # classes whose confusion matrix is a table, and rows of classes that are shown without unfolding
PAIRS = 10  # confusions that are listed
STRONG = 0.72  # fraction of a row from which on the ground's colour stands out more, between those of both themes


def classes(report: Report) -> str:
    """Return precision, recall and F1 of each class, the worst first where there are many."""
    found = report.evaluation
    if found is None:
        return missing(report.why)
    ordered = found.per_class()
    many = len(ordered) > FULL
    if many:
        ordered = sorted((row for row in ordered if row["pictures"]), key=lambda row: (row["f1"] or 0, row["class"]))
    head = ("class", "images", "precision, %", "recall, %", "F1, %", "most confused with")
    made = [
        (
            title(row["class"]),
            f"{row['pictures']:,}",
            *(bar(row[name]) for name in ("precision", "recall", "f1")),
            title(row["taken_for"]),
        )
        for row in ordered
    ]
    said = _measured(report, found)
    macro = ", ".join(
        f"{name} {100 * value:.1f} %"
        for name, value in (
            ("precision", found.macro_precision),
            ("recall", found.macro_recall),
            ("F1", found.macro_f1),
        )
    )
    first = wide(table(head, made[:FULL], numbers=(1, 2, 3, 4)))
    if many:
        said += " The worst classes are first."
        first += folded(f"{len(made) - FULL:,} more", table(head, made[FULL:], numbers=(1, 2, 3, 4)))
    return f"<p>{said} Means over the classes: {macro}.</p>{first}"


def confusion(report: Report) -> str:
    """Return the confusion matrix and the most frequent confusions."""
    found = report.evaluation
    if found is None:
        return missing(report.why)
    matrix, names = found.confusion, [title(name) for name in found.classes]
    wrong = matrix - np.diag(np.diag(matrix))
    pairs = [
        divmod(int(at), len(names)) for at in np.argsort(-wrong, axis=None, kind="stable")[:PAIRS] if wrong.flat[at]
    ]
    listed = "".join(
        f'<li>{text(names[true])} <span class="to">taken for</span> <b>{text(names[named])}</b> '
        f"<small>{wrong[true, named]:,} of {matrix[true].sum():,}</small></li>"
        for true, named in pairs
    )
    listed = f'<ol class="pairs">{listed}</ol>' if listed else "<p>No image was taken for another class.</p>"
    said = "<p>Rows are true classes, columns predicted ones; shades are fractions of the row.</p>"
    if len(names) > FULL:
        drawn = charts.plot(lambda path, theme: confusion_plot.draw(found, path, theme), "Confusion matrix")
        return listed + wide(drawn)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    head = "".join(f'<th scope="col"><span>{text(name)}</span></th>' for name in names)
    body = ""
    for row, name in enumerate(names):
        cells = "".join(
            f'<td class="{"right" if row == column else "wrong"}{" strong" * bool(shares[row, column] > STRONG)}" '
            f'style="--part:{100 * float(shares[row, column]):.0f}%">{matrix[row, column] or ""}</td>'
            for column in range(len(names))
        )
        body += f'<tr><th scope="row">{text(name)}</th>{cells}</tr>'
    drawn = f'<table class="matrix"><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>'
    return said + wide(drawn) + listed


def filters(report: Report) -> str:
    """Return the first filters, tower by tower."""
    network = report.model.network
    try:
        layer, count = filter_plot.first(network)
    except UsageError:
        return missing("The network has no convolution, so there are no filters to draw.")
    kernels = report.weights.tensors[f"{layer}.weight"]
    _, channels, high, across = kernels.shape
    if channels not in (filter_plot.GREY, filter_plot.COLOURED):
        return missing(f"{layer} reads {channels} channels, which are no colours to draw.")
    drawn = ""
    for number, part in enumerate(np.split(kernels, count), 1):
        name = f'<b class="tower{number}">tower {number}</b>' if count > 1 else f"<b>{text(layer)}</b>"
        said = f"{len(part)} filters of {high}×{across}×{channels}"
        drawn += f"<figure><figcaption>{name} {said}</figcaption>"
        drawn += f'<img class="pixels" alt="{said}" src="{charts.filters(part)}"></figure>'
    zero = "0 is grey" if channels == filter_plot.COLOURED else "green is positive, purple negative"
    said = f"{text(layer)}, as figure 3 of the paper; each filter is scaled by its largest weight, {zero}."
    return f'<p>{said}</p><div class="pair">{drawn}</div>'


def mistakes(report: Report) -> str:
    """Return the most confident mistakes, each with the pixels that spoke for the wrong class."""
    found = report.evaluation
    if found is None:
        return missing(report.why)
    wrong = len(report.mistakes)
    if wrong:
        shown_ = f"the {min(wrong, EXPLAINED)} most confident of them" if wrong > 1 else "here it is"
        said = f"{wrong:,} of {found.count:,} images are classified wrongly; {shown_}."
    else:
        said = f"None of {found.count:,} images is classified wrongly; these are the least confident."
    said += f" Green: what spoke for the predicted class ({_method(report.model.network)})."
    cards = "".join(_card(each) for each in report.explained)
    return f'<p>{said}</p><ul class="cards">{cards}</ul>'


def _method(network: Network) -> str:
    """Return what the heat maps are made by; of Grad-CAM the maps that it reads, which are enlarged to the image."""
    if not any(layer.kind == "conv" for layer in network.layers.values()):
        return "saliency"
    layer = last_maps(network)
    _, rows, columns = next(stage.output for stage in network.stages() if stage.name == layer)
    return f"Grad-CAM at {layer}, {rows}×{columns}, enlarged"


def _card(each: Explained) -> str:
    """Return an image as the network saw it, beside itself with its heat map, and what it was taken for."""
    pixels = charts.image(each.explanation.image)
    coarse = each.explanation.settings.get("coarse")
    values = each.explanation.heat if coarse is None else coarse / max(float(coarse.max()), 1e-30)
    right = "right" if each.named == each.true else "wrong"
    is_ = "" if each.named == each.true else f"<span>is {text(title(each.true))}</span>"
    name = text(each.name)
    return (
        f'<li class="{right}"><div class="seen"><img alt="{name}" src="{pixels}"><span class="heat">'
        f'<img alt="" src="{pixels}"><img alt="what spoke for {text(title(each.named))}" '
        f'src="{charts.heat(values)}"></span></div><p><b>{text(title(each.named))}</b> '
        f"{percent(each.probability)} {is_}</p><small>{name}</small></li>"
    )


def profile(report: Report) -> str:
    """Return the time of each step of the plan: forward and backward in one bar."""
    try:
        found = report.profile
    except CualexError as error:
        return missing(f"The step could not be profiled ({error}).")
    conditions = found.conditions
    steps: dict[str, dict[str, float]] = {}
    for row in found.rows:
        times = steps.setdefault(row.name, {"forward": 0.0, "backward": 0.0})
        times[row.direction] += row.seconds
    total = sum(sum(each.values()) for each in steps.values())
    most = max(sum(each.values()) for each in steps.values())
    lines = "".join(_step(name, each, total, most) for name, each in steps.items())
    mode = {"train": "training, forward and backward with the update", "infer": "inference"}[conditions["mode"]]
    keys = '<span class="key forward"><i></i>forward</span>'
    if conditions["mode"] == "train":
        keys += '<span class="key backward"><i></i>backward, update</span>'
    return (
        f"<p>One step of {mode}: {conditions['batch_size']} images in {1000 * found.real:.3g} ms, "
        f"{conditions['batch_size'] / found.real:,.4g} images/s. Steps are timed one by one. {keys}</p>"
        f'<table class="steps"><tbody>{lines}</tbody></table>'
        f'<p class="quiet">{_conditions(found)} cualex profile measures it with care, beside the roofline.</p>'
    )


def _step(name: str, times: dict[str, float], total: float, most: float) -> str:
    parts = "".join(
        f'<i class="{kind}" style="width:{100 * seconds / most:.1f}%"></i>'
        for kind, seconds in times.items()
        if seconds
    )
    seconds = sum(times.values())
    return (
        f'<tr><th scope="row">{text(name)}</th><td class="bars">{parts}</td><td>{1000 * seconds:.2f} ms</td>'
        f"<td>{100 * seconds / total:.0f} %</td></tr>"
    )


def _conditions(found: Profile) -> str:
    said = found.conditions
    return (
        f"Medians of {said['repeat']} passes on {text(said['device'])} ({text(said['precision'])}), "
        f"{text(said['processor'])}, {said['cores']} cores, random images; other work on the machine disturbs them."
    )


def _measured(report: Report, found: Evaluation) -> str:
    left = f", of {found.count + report.left_out:,} drawn at random," if report.left_out else ""
    split = "" if report.called == "all" else f"{report.called} "
    return f"Of {found.count:,} {split}images{left} {100 * found.top1:.1f} % are correct."
