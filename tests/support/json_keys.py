"""The keys that `cualex help json` lists, against those of a document."""

import re
from importlib import resources


def blocks():
    """Return the keys of each command in the topic: {("train", "--overfit"): {path: whether it is always there}}."""
    text = resources.files("cualex.cli").joinpath("topics/json.txt").read_text(encoding="utf-8")
    found, keys = {}, None
    for line in text.partition("not in every document.\n\n")[2].splitlines():
        if not line.startswith(" "):
            keys = found.setdefault(tuple(line.split()), {})
        elif not line.startswith("   "):
            for path in re.split(r", ", re.split(r"  +", line.strip())[0].rstrip(",")):
                keys[path.removesuffix("?")] = not path.endswith("?")
    return found


def block_of(words):
    """Return the most special block of a command line."""
    fitting = [block for block in blocks() if set(block) <= set(words) and block[0] == words[0]]
    return max(fitting, key=len)


def paths(value, at=""):
    """Return the paths of all keys of a document: a list's elements are [], joined by dots."""
    found = set()
    if isinstance(value, dict):
        for key, each in value.items():
            path = f"{at}.{key}" if at else key
            found |= {path, *paths(each, path)}
    elif isinstance(value, list):
        for each in value:
            found |= paths(each, f"{at}[]")
    return found


def pattern(path):
    """Return a path of the topic as a regular expression: <name> is any key, .* anything below."""
    exact = re.escape(path.removesuffix(".*"))
    exact = re.sub(r"<[a-z]+>", r"[^\\[\\]]+", exact)
    return re.compile(exact + (r"(\[|\.).*" if path.endswith(".*") else ""))


def _has_elements(path, found):
    """Return whether the lists that a path leads through have elements with keys."""
    parent = path.rpartition("[]")[0]
    return not parent or any(each.startswith(f"{parent}[]") for each in found)


def faults(words, document):
    """List keys of a document that the topic lacks, and keys of the topic that the document lacks."""
    block = block_of(words)
    known, found = blocks()[block], paths(document) - {"schema_version"}
    patterns = {path: pattern(path) for path in known}
    unknown = [path for path in sorted(found) if not any(each.fullmatch(path) for each in patterns.values())]
    lacking = [
        path
        for path, always in known.items()
        if always and _has_elements(path, found) and not any(patterns[path].fullmatch(each) for each in found)
    ]
    name = " ".join(block)
    return [f"{name}: {path} is not in the topic" for path in unknown] + [
        f"{name}: {path} is not in the document" for path in lacking
    ]
