"""Move modules of the package, and rewrite whatever names them: `python .ci/move.py MOVES`.

MOVES has lines `OLD NEW` of files below the root ("cualex/units.py cualex/plan/fusion.py"), and `module OLD NEW` where
only the name that a module is imported by is another ("module emulator tests.emulator"). Files are moved by git;
then imports, names that imports bind, dotted names and paths in every tracked text are rewritten. A module that became
a package of its own name ("cualex/plan.py cualex/plan/plan.py") is still imported by the package's name, whose
`__init__.py` has to say what it gives. A binding that cannot be renamed since the file has another of the new name
keeps its old name (`import ... as`), and is listed.
"""

import ast
import re
import subprocess
import symtable
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
HOMES = {"kernels": "cualex.kernels", "cli": "cualex.cli"}


def dotted(path):
    """Return the name that a file is imported by: "cualex/plan/fusion.py" is cualex.plan.fusion."""
    parts = list(Path(path).with_suffix("").parts)
    if parts[0] in HOMES:
        parts[:1] = HOMES[parts[0]].split(".")
    if parts[-1] == "__init__":
        parts.pop()
    if parts[0] == "tests" and not (ROOT / "tests/__init__.py").exists():
        parts.pop(0)
    return ".".join(parts)


def tracked(*patterns):
    """List the files that git knows."""
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [Path(line) for line in listed.stdout.splitlines()]


class Scopes(ast.NodeVisitor):
    """Find the places where a name means what an import has bound: (line, column) of each."""

    def __init__(self, source, name):
        self.name, self.found = name, []
        self.tables = symtable.symtable(source, "file", "exec")
        self.stack = [self.tables]
        self.children = {id(self.tables): list(self.tables.get_children())}
        self.visit(ast.parse(source))

    def _enter(self, node):
        table = self.stack[-1]
        kids = self.children[id(table)]
        for index, kid in enumerate(kids):
            if kid.get_lineno() in {node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))} and (
                kid.get_name() == getattr(node, "name", kid.get_name())
            ):
                kids.pop(index)
                self.stack.append(kid)
                self.children[id(kid)] = list(kid.get_children())
                return True
        return False

    def _scoped(self, node, outside, inside):
        for part in outside:
            self.visit(part)
        entered = self._enter(node)
        for part in inside:
            self.visit(part)
        if entered:
            self.stack.pop()

    def visit_FunctionDef(self, node):
        """Visit in the scope that it opens."""
        arguments = node.args
        outside = [*node.decorator_list, *arguments.defaults, *(d for d in arguments.kw_defaults if d)]
        notes = [a.annotation for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs) if a.annotation]
        notes += [a.annotation for a in (arguments.vararg, arguments.kwarg) if a and a.annotation]
        self._scoped(node, [*outside, *notes, *([node.returns] if node.returns else [])], node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node):
        """Visit in the scope that it opens."""
        self._scoped(node, [*node.decorator_list, *node.bases, *(k.value for k in node.keywords)], node.body)

    def visit_Lambda(self, node):
        """Visit in the scope that it opens."""
        self._scoped(node, node.args.defaults, [node.body])

    def visit_Name(self, node):
        """Visit in the scope that it opens."""
        if node.id == self.name and self._imported():
            self.found.append((node.lineno, node.col_offset))

    def _imported(self):
        for table in reversed(self.stack):
            try:
                symbol = table.lookup(self.name)
            except KeyError:
                continue
            if symbol.is_imported():
                return True
            if symbol.is_local() or symbol.is_parameter():
                return False
        return False


def binds(source, name):
    """Say whether a file binds or uses a name in any scope."""
    return any(
        getattr(node, "id", None) == name
        or getattr(node, "name", None) == name
        or (isinstance(node, ast.arg) and node.arg == name)
        or (isinstance(node, ast.alias) and (node.asname or node.name) == name)
        for node in ast.walk(ast.parse(source))
    )


def rewrite_imports(source, modules, path):
    """Rewrite `from PACKAGE import MODULE` and `import MODULE`, and the names that they bind."""
    tree = ast.parse(source)
    lines = source.splitlines(keepends=True)
    edits, renamed = [], {}
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    clashes = Counter(
        new.rpartition(".")[2]
        for new in {
            modules.get(f"{node.module}.{alias.name}")
            for node in imports
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        if new
    )
    for node in imports:
        texts = []
        for alias in node.names:
            full = f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
            new = modules.get(full)
            if new is None or new.startswith(full + "."):
                moved = isinstance(node, ast.ImportFrom) and "." not in node.module and modules.get(node.module)
                named = alias.name + (f" as {alias.asname}" if alias.asname else "")
                texts.append(f"from {moved} import {named}" if moved else None)
                continue
            parent, _, base = new.rpartition(".")
            bound = alias.asname or (alias.name if isinstance(node, ast.ImportFrom) else full.split(".")[0])
            if isinstance(node, ast.Import) and "." in full and alias.asname is None:
                texts.append(f"import {new}")
                continue
            if bound == base:
                texts.append(f"from {parent} import {base}")
            elif alias.asname or clashes[base] > 1 or (binds(source, base) and renamed.get(bound) != base):
                texts.append(f"from {parent} import {base} as {bound}")
                if not alias.asname:
                    print(f"kept: {path}:{node.lineno} {bound} (not {base})")
            else:
                renamed[bound] = base
                texts.append(f"from {parent} import {base}")
        if any(texts):
            stay = [a for a, text in zip(node.names, texts, strict=True) if text is None]
            indent = " " * node.col_offset
            made = [text for text in texts if text]
            if stay:
                names = ", ".join(a.name + (f" as {a.asname}" if a.asname else "") for a in stay)
                own = f"from {node.module} import {names}" if isinstance(node, ast.ImportFrom) else f"import {names}"
                made.insert(0, own)
            edits.append((node, ("\n" + indent).join(made)))
    places = [(line, column, old, new) for old, new in renamed.items() for line, column in Scopes(source, old).found]
    for line, column, old, new in sorted(places, reverse=True):
        text = lines[line - 1].encode()
        assert text[column : column + len(old)] == old.encode(), (path, line, text)
        lines[line - 1] = (text[:column] + new.encode() + text[column + len(old) :]).decode()
    for node, text in sorted(edits, key=lambda edit: -edit[0].lineno):
        first, last = node.lineno - 1, node.end_lineno
        tail = lines[last - 1].encode()[node.end_col_offset :].decode()
        lines[first:last] = [" " * node.col_offset + text + tail]
    return "".join(lines)


def main():
    """Move, then rewrite."""
    lines = [line.split() for line in Path(sys.argv[1]).read_text().splitlines() if line.strip() and line[0] != "#"]
    moves = [line for line in lines if len(line) == 2]
    before = {old: dotted(old) for old, _ in moves}
    for old, new in moves:
        (ROOT / new).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "mv", old, new], cwd=ROOT, check=True)
    for folder in {folder for _, new in moves if new.startswith("tests/") for folder in Path(new).parents}:
        if str(folder) != "." and not (ROOT / folder / "__init__.py").exists():
            (ROOT / folder / "__init__.py").touch()
            subprocess.run(["git", "add", folder / "__init__.py"], cwd=ROOT, check=True)
    modules = {before[old]: dotted(new) for old, new in moves if old.endswith(".py")}
    modules |= {line[1]: line[2] for line in lines if line[0] == "module"}
    files = dict(moves)
    names = {old: new for old, new in modules.items() if not new.startswith(old + ".") and "." in old}
    by_name, by_path = (
        re.compile("|".join(rf"(?<![\w{before}]){re.escape(n)}(?!\w)" for n in sorted(known, key=len, reverse=True)))
        for known, before in ((names, "."), (files, "/"))
    )
    for path in tracked():
        if path.parts[:2] == ("tests", "golden") or path == Path(__file__).relative_to(ROOT):
            continue
        try:
            source = text = (ROOT / path).read_text()
        except UnicodeDecodeError:
            continue
        if path.suffix == ".py":
            text = rewrite_imports(text, modules, path)
        text = by_name.sub(lambda hit: names[hit.group()], text)
        text = by_path.sub(lambda hit: files[hit.group()], text)
        if text != source:
            (ROOT / path).write_text(text)


if __name__ == "__main__":
    main()
