"""The README's guarantees, and how often they are tried: the README, the docstring of each test and its code agree."""

import ast
import re

import pytest

from tests import ROOT

(TABLE,) = re.findall(r"\n\| guarantee \|.*?\n\n", (ROOT / "README.md").read_text(), re.S)
PROMISED = re.findall(r"`(tests/[\w/]+\.py)`: ([^;|]+?)(?=;| \|)", TABLE)
SAID = re.compile(r"Tries ([^.]+?), ([^.]+) under `-m slow`\.")


def claims(tree):
    """Return the test functions that say how often they try, with their sentence's two counts."""
    tests = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    said = {test: SAID.match(ast.get_docstring(test) or "") for test in tests}
    return {test: found.groups() for test, found in said.items() if found}


def counted(tree, test):
    """Return the counts that a test is parametrised with: the quick one, and the one that is marked slow."""
    known = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            pairs = [(node.targets[0], node.value)]
            if isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = zip(node.targets[0].elts, node.value.elts, strict=True)
            known |= {ast.unparse(name): ast.unparse(value) for name, value in pairs}
    for mark in test.decorator_list:
        listed = re.fullmatch(
            r"pytest\.mark\.parametrize\('\w+', \[(\w+), pytest\.param\((\w+), marks=pytest\.mark\.slow\)\]\)",
            ast.unparse(mark),
        )
        if listed:
            return [int(known.get(word, word)) for word in listed.groups()]
    return None


def number(text):
    """Return the number that a count begins with, or None: "2,000 damaged files"."""
    found = re.match(r"\d[\d,]*", text)
    return int(found.group().replace(",", "")) if found else None


def test_the_readme_has_a_table_of_them():
    files = re.findall(r"`(tests/[^`]+)`", TABLE)
    assert len(files) >= 9
    assert [name for name, _ in PROMISED] == files


@pytest.mark.parametrize(("file", "promised"), PROMISED)
def test_a_guarantee_is_tried_as_often_as_the_readme_says(file, promised):
    said = claims(ast.parse((ROOT / file).read_text())).values()
    assert promised in [f"{slow} {quick.partition(' ')[2]}" if number(slow) else slow for quick, slow in said]


@pytest.mark.parametrize("file", sorted({file for file, _ in PROMISED}))
def test_a_docstring_has_the_counts_of_its_test(file):
    tree = ast.parse((ROOT / file).read_text())
    for test, (quick, slow) in claims(tree).items():
        counts = counted(tree, test)
        assert counts is None or counts == [number(quick), number(slow)], test.name
        assert (counts is None) is (number(slow) is None), test.name
