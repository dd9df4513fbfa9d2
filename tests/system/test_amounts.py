"""Amounts and lists of names as texts."""

import pytest

from cualex.system import amounts


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["cat"], "cat"),
        (["cat", "dog"], "cat, dog"),
        (list("abcdefg"), "a, b, c, d, e and 2 more"),
        (["tench, Tinca tinca", "goldfish"], "tench, Tinca tinca; goldfish"),
        ([*"abcde", "f, g"], "a, b, c, d, e and 1 more"),
        ([], ""),
    ],
)
def test_a_list_of_names_is_cut_and_unambiguous(names, text):
    assert amounts.some(names) == text
