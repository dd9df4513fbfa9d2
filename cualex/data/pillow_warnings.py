"""Silence what Pillow prints of damaged images: its warnings and its log."""

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator
from typing import Any

# Pillow's log goes to the terminal too, unless a program that uses logging says where.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_guard = threading.Lock()
_inside = 0
_rule: Any = None  # an entry of warnings.filters, whose type the standard library leaves open


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Ignore the warnings of Pillow's modules while any thread decodes.

    warnings.catch_warnings swaps the whole list of filters and so cannot be used by two threads at once; this adds one
    filter when the first thread enters and removes it when the last one leaves.
    """
    global _inside, _rule
    with _guard:
        if _inside == 0:
            warnings.filterwarnings("ignore", module=r"PIL\.")
            _rule = warnings.filters[0]
        _inside += 1
    try:
        yield
    finally:
        with _guard:
            _inside -= 1
            if _inside == 0:
                filters = warnings.filters
                assert isinstance(filters, list)
                with contextlib.suppress(ValueError):
                    filters.remove(_rule)
