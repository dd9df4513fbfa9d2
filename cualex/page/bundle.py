"""The page's modules as one script, for a file that is opened without a server: browsers load no module from a file.

Each module becomes a block, so that its private names stay its own, in an order in which every module comes after those
that it imports; modules that import one another call one another only later. What is exported becomes a variable around
the blocks, hence every exported name must be the only one of its kind:

    export function f() {}    ->  f = function f() {}
    import { f } from "./m.js"    ->  nothing
    import * as m from "./m.js"   ->  const m = an object with a getter for every name that m.js exports
"""

import re

_IMPORT = re.compile(r'^import (?:\{(?![^}]* as )[^}]*\}|\* as (\w+)) from "\./([\w.]+)";\n', re.M)
_EXPORT = re.compile(r"^export (?:(?:const|let) ([\w$]+) =|((?:async )?function\*?|class) ([\w$]+))", re.M)


def bundle(modules: dict[str, str], entry: str) -> str:
    """Return the text of one script that does what the module `entry` does.

    modules: texts by file name. Raise ValueError for an import that is missing, a name that two modules export, and an
    import or export of any other form.
    """
    order: list[str] = []
    _visit(modules, entry, order, set())
    exported = {name: [first or second for first, _, second in _EXPORT.findall(modules[name])] for name in order}
    owners: dict[str, str] = {}
    for module, names in exported.items():
        for name in names:
            if owners.setdefault(name, module) != module:
                raise ValueError(f"{name} is exported by {owners[name]} and {module}: rename one of them")
    blocks = [_block(name, modules[name]) for name in order]
    spaces = [f"const {_space(module)} = {{ {_getters(names)} }};" for module, names in exported.items()]
    return "\n".join([f"let {', '.join(owners)};", *spaces, *blocks])


def _visit(modules: dict[str, str], name: str, order: list[str], seen: set[str]) -> None:
    """Append a module's imports to the order, then the module."""
    if name in seen:
        return
    seen.add(name)
    if name not in modules:
        raise ValueError(f"there is no module {name}; there are {', '.join(modules)}")
    for _, imported in _IMPORT.findall(modules[name]):
        _visit(modules, imported, order, seen)
    order.append(name)


def _block(name: str, text: str) -> str:
    spaces = [f"const {alias} = {_space(module)};" for alias, module in _IMPORT.findall(text) if alias]
    body = _EXPORT.sub(lambda found: f"{found[1]} =" if found[1] else f"{found[3]} = {found[2]} {found[3]}", text)
    body = _IMPORT.sub("", body)
    if left := re.search(r"^(import|export)\b.*", body, re.M):
        raise ValueError(f"{name}: cannot be put into one script: {left[0]}")
    return "\n".join([f"// {name}", "{", *spaces, body.strip(), "}"])


def _space(module: str) -> str:
    return module.removesuffix(".js") + "Module"


def _getters(names: list[str]) -> str:
    return ", ".join(f"get {name}() {{ return {name}; }}" for name in names)
