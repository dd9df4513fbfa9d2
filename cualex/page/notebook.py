"""What Jupyter shows of models, networks, runs, evaluations and trainings, and curves while a training runs.

IPython is no dependency: `_repr_html_` is a method that it looks for, and live curves are shown only inside a notebook,
whose process has imported IPython already. A theme of Jupyter's, VS Code's or Colab's own chooses the colours.
"""

import importlib
import sys
import time
from collections.abc import Callable
from typing import Any

from cualex.evaluation import Evaluation, accuracies
from cualex.model import Model
from cualex.networks import Network
from cualex.networks.summary import rows, totals
from cualex.page import charts
from cualex.page.markup import bar, table, text, title
from cualex.plots import towers
from cualex.plots.theme import THEMES
from cualex.system.amounts import some
from cualex.training import confidence
from cualex.training.run import Run
from cualex.training.verdict import Verdict
from cualex.weights import initial

DARK = ('[data-jp-theme-light="false"] .cualex', ".vscode-dark .cualex", 'html[theme="dark"] .cualex')
OWN = """
p { margin: 0.3em 0; } small { color: var(--soft); }
table { border-collapse: collapse; font-size: inherit; } th, td { padding: 0.2em 1.2em 0.2em 0; text-align: left; }
.charts { max-width: 60rem; }
.bar { display: inline-block; min-width: 4.6rem; padding-bottom: 4px;
  background: linear-gradient(var(--positive) 0 0) left bottom / var(--part) 3px no-repeat; }
"""
EVERY = 1.0  # seconds between two drawings
SHOWN = 20  # classes


def network(found: Network) -> str:
    """Return a network as HTML: the layers of its towers as a plot, and totals."""
    total = totals(rows(found))
    drawn = charts.plot(lambda path, theme: towers.draw(found, path, theme), f"The layers of {found.name}")
    said = (
        f"{total.parameters:,} parameters, {total.multiply_adds:,} multiply-adds, {total.neurons:,} neurons; "
        f"{found.classes:,} classes, crops of {found.crop}"
    )
    return _styled(f"<p><b>{text(found.name)}</b> <small>{text(said)}</small></p>{drawn}")


def model(found: Model) -> str:
    """Return a model as HTML: its classes and device, and its network."""
    names = some([title(name) for name in found.classes], SHOWN)
    random = initial.said(found.untrained, found.network)
    about = f"<p>{text(found)}: {text(names)}</p>" + (f"<p>{text(random)}</p>" if random else "")
    return _styled(about) + network(found.network)


def run(found: Run) -> str:
    """Return a run as HTML: its verdict, or that it has none yet, and its curves."""
    outcome = found.outcome() if found.path.is_dir() else None
    judged = Verdict.read(outcome) if outcome else None
    said = "not finished" if outcome is None else "finished"
    if judged:
        low, high = (100 * bound for bound in judged.interval)
        said = f"{judged.told}: {100 * judged.last_top1:.1f} % of {judged.images:,} images correct "
        said += f"(95 % interval {low:.1f} to {high:.1f} %); best {100 * judged.top1:.1f} %, epoch {judged.best_epoch}."
    return _styled(f"<p><b>{text(found.path.name)}</b> <small>{text(said)}</small></p>{charts.training(found)}")


def evaluation(found: Evaluation) -> str:
    """Return an evaluation as HTML: top-1 with its interval, and the classes, the worst first."""
    low, high = (100 * bound for bound in confidence.interval(found.right1, found.count)) if found.count else (0, 100)
    said = f"{', '.join(accuracies(found.top1, found.top5, len(found.classes)))}, loss {found.loss:.4f}"
    ordered = sorted(found.per_class(), key=lambda row: (not row["pictures"], row["f1"] or 0))
    cells = [
        (title(row["class"]), row["pictures"], bar(row["precision"]), bar(row["recall"]), bar(row["f1"]))
        for row in ordered[:SHOWN]
    ]
    more = f"<p><small>{len(ordered) - SHOWN:,} more classes</small></p>" if len(ordered) > SHOWN else ""
    drawn = table(("class", "images", "precision, %", "recall, %", "F1, %"), cells, numbers=(1, 2, 3, 4))
    return _styled(
        f"<p><b>{text(said)}</b> <small>{found.count:,} images; 95 % interval of top-1 {low:.1f} to {high:.1f} "
        f"%</small></p>{drawn}{more}"
    )


def training(described: str, found: Run | None) -> str:
    """Return a training as HTML: itself in a line, and the curves of its run, if it has begun."""
    return _styled(f"<p>{text(described)}</p>") + (run(found) if found else "")


class Live:
    """Curves of a training in the cell that runs it; nothing where there is no notebook."""

    def __init__(self) -> None:
        """Show nothing yet."""
        self._handle: Any = None
        self._drawn = 0.0

    def show(self, found: Run | None, last: bool = False) -> None:
        """Show the curves, or draw them anew, unless that was less than `EVERY` seconds ago and is not the last."""
        if found is None or (display := _display()) is None:
            return
        if not last and self._handle and time.monotonic() - self._drawn < EVERY:
            return
        bundle = {"text/html": run(found), "text/plain": repr(found)}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)
        self._drawn = time.monotonic()


def _display() -> Callable[..., Any] | None:
    """Return IPython's `display` in a notebook; None elsewhere, also in IPython's terminal, which shows no HTML."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if getattr(shell, "kernel", None) is None:
        return None
    found: Callable[..., Any] = importlib.import_module("IPython.display").display
    return found


def _styled(inside: str) -> str:
    """Return HTML with its styles, which hold inside of it alone."""
    light, dark = (charts.colours(THEMES[name]) for name in ("light", "dark"))
    css = f".cualex {{ {light} {charts.style('charts.css')} {OWN} }} {', '.join(DARK)} {{ {dark} }}"
    return f'<div class="cualex"><style>{css}</style>{inside}</div>'
