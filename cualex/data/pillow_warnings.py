"""Keep to ourselves what Pillow says of damaged images: its warnings and its log."""

import contextlib
import logging
import threading
import warnings

# Pillow's log goes to the terminal too, unless a program that uses logging says where.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_guard = threading.Lock()
_inside = 0
_rule: tuple = ()


@contextlib.contextmanager
def quiet():
    """Ignore the warnings of Pillow's modules while any thread decodes.

    warnings.catch_warnings swaps the whole list of filters and so cannot be used by two threads at once; this
    adds one filter with the first thread in and takes it away with the last one out.
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
                with contextlib.suppress(ValueError):
                    warnings.filters.remove(_rule)
