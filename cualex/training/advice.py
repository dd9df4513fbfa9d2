"""The verdict on a training as text: a line a finding, with advice."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cualex.training.verdict import Verdict


def lines(verdict: Verdict, run: str, data: str, kept: bool) -> list[str]:
    """Return the lines of `Verdict.lines`."""
    command = f"cualex train {shlex.quote(data)}"
    findings = [_guessing(verdict, command), _weights_kept(verdict), _recall(verdict), _overfitting(verdict)]
    return [line for line in (*findings, _improving(verdict, run, command, kept)) if line]


def _guessing(verdict: Verdict, command: str) -> str:
    low, high = (100 * bound for bound in verdict.interval)
    digits = 0 if high - low >= 5 else 1
    result = (
        f"{verdict.told}: {100 * verdict.last_top1:.1f} % of "
        f"{_count(verdict.images, 'validation image' if verdict.held_out else 'training image')} correct "
        f"(95 % interval {low:.{digits}f} to {high:.{digits}f} %); "
        f"always predicting the largest class: {100 * verdict.baseline:.0f} %."
    )
    if not verdict.held_out:
        return f"{result} They were trained on, which says nothing about new ones: hold some out with --val-split 0.2."
    if verdict.better:
        return result
    if not verdict.cannot_tell:
        return f"{result} Check the data (cualex check), and whether the network can overfit it: {command} --overfit 32"
    could = f"; about {verdict.images_needed:,} could" if verdict.images_needed else ""
    return (
        f"{result} {_count(verdict.images, 'image')} cannot tell{could}: add images, or where there is no val/ hold "
        "out more of them (--val-split 0.4)."
    )


def _weights_kept(verdict: Verdict) -> str:
    if verdict.top1 == verdict.last_top1:
        return ""
    return (
        f"That is the last epoch, {verdict.epochs}. The weights kept are those of epoch {verdict.best_epoch}, with "
        f"{100 * verdict.top1:.1f} %: the best of {verdict.epochs} on these images, so less is likely on others."
    )


def _recall(verdict: Verdict) -> str:
    if verdict.macro_recall is None or not verdict.uneven:
        return ""
    result = f"Macro recall, the mean over the classes, which are imbalanced: {100 * verdict.macro_recall:.1f} %."
    if verdict.balance_advised:
        return f"{result} --class-weights balanced makes small classes count as much as large ones."
    return result


def _overfitting(verdict: Verdict) -> str:
    train_loss, val_loss = _loss(verdict.train_loss), _loss(verdict.val_loss)
    if not verdict.held_out:
        return f"Training loss {train_loss}. Without held-out images overfitting cannot be measured."
    guessing = f"of predicting the class frequencies: {_loss(verdict.baseline_loss)}"
    if verdict.overfitting:
        return (
            f"Overfitting: since epoch {verdict.lowest_epoch} the training loss fell from "
            f"{_loss(verdict.lowest_train_loss)} to {train_loss}, but the validation loss rose from "
            f"{_loss(verdict.lowest_val_loss)} to {val_loss} ({guessing}). More images help most; else stop earlier "
            "(--stop-after 5), fine-tune trained weights (--from), or raise --weight-decay."
        )
    weighted = " (classes weighted)" if verdict.weighted else ""
    losses = f"training loss {train_loss}{weighted}, validation loss {val_loss} ({guessing})"
    return f"Not overfitting: {losses}." if verdict.overfitting is False else f"{losses[0].upper()}{losses[1:]}."


def _improving(verdict: Verdict, run: str, command: str, kept: bool) -> str:
    longer = f"--epochs {2 * verdict.epochs}"
    anew = f"train again with {longer}, and with later --drop-epochs if you set them"
    if verdict.improving is None:
        return f"{_count(verdict.epochs, 'epoch')}: too few to say whether it still improves. If it should, {anew}."
    if verdict.right == verdict.images:
        return "All of them are correct, so more epochs can show no gain."
    if not verdict.improving and not verdict.better:
        return (
            f"Not improving: no clear gain in the last {verdict.improving_over} epochs. A network that has not begun "
            f"to learn may need more epochs ({longer}) or another --lr (it was {verdict.highest_rate:.2g})."
        )
    if not verdict.improving:
        return f"No longer improving: no clear gain in the last {verdict.improving_over} epochs, so more gain little."
    if verdict.rate_fallen:
        return (
            f"Still improving, but the learning rate has fallen to {verdict.rate:.2g}, where more epochs gain little: "
            f"{anew}."
        )
    if kept:
        return f"Still improving. To continue: cualex train --resume {shlex.quote(run)} {longer}"
    return f"Still improving. To continue from its weights: {command} --from {shlex.quote(f'{run}/best.safetensors')}"


def _loss(value: float | None) -> str:
    return "NaN or Inf" if value is None else f"{value:.2f}"


def _count(number: int, what: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
