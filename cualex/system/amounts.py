"""Amounts as texts: durations, bytes."""

import math

UNITS = ("B", "kB", "MB", "GB", "TB")


def duration(seconds: float) -> str:
    """Format a duration: 45 s, 3 min 20 s, 2 h 05 min."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


def size(number: float) -> str:
    """Format a number of bytes, in powers of 1000: 812 B, 244 MB, 1.9 GB."""
    if number < 1000:
        return f"{number:.0f} B"
    power = min(int(math.log10(number)) // 3, 4)
    number /= 1000**power
    return f"{number:.1f} {UNITS[power]}" if number < 10 else f"{number:.0f} {UNITS[power]}"
