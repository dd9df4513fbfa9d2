"""What the files of kernels/ say of themselves: the macros that headers expect, the constants that kernels take."""

import re
from pathlib import Path

import pytest

from cualex import kernels

FOLDER = Path(kernels.__file__).resolve().parent
HEADERS = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.cuh"))
MACRO = re.compile(r"\b[A-Z][A-Z0-9_]*\b")


def macros_used(text):
    """Return the words in capitals outside of comments and strings: macros, here."""
    code = re.sub(r'//.*|"(\\.|[^"\\\n])*"', "", text)
    return set(MACRO.findall(code))


def macros_defined(text):
    return set(re.findall(r"^#define (\w+)", text, re.MULTILINE))


def with_headers(path):
    """Return the text of a header and of all that it includes."""
    text = path.read_text()
    included = re.findall(r'^#include "([\w./]+)"', text, re.MULTILINE)
    return text + "".join(with_headers((path.parent / name).resolve()) for name in included)


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_lists_the_macros_that_it_expects(header):
    """All that it uses, less what it or a header that it includes defines."""
    text = (FOLDER / header).read_text()
    before, mark, _ = text.partition("#pragma once\n")
    assert mark
    assert all(line.startswith("//") for line in before.splitlines())
    lines = re.findall(r"^// expects: (.*)$", before, re.MULTILINE)
    listed = " ".join(lines).split()
    assert len(set(listed)) == len(listed)
    assert set(listed) == macros_used(text) - macros_defined(with_headers(FOLDER / header))


@pytest.mark.parametrize("name", kernels.names())
def test_a_kernel_lists_the_constants_that_it_uses(name):
    kernel = kernels.find(name)
    text = kernels.assemble(kernel)
    assert set(kernel.constants) == macros_used(text) - macros_defined(text)


@pytest.mark.parametrize("file", sorted(path.name for path in FOLDER.glob("*.cu")))
def test_a_file_opens_with_a_comment_and_names_the_tests_that_check_it(file):
    text = (FOLDER / file).read_text()
    assert text.startswith("// ")
    tests = re.findall(r"tests/[\w/]+\.py", text)
    assert tests
    assert [test for test in tests if not (FOLDER.parent / test).exists()] == []
