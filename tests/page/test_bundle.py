"""The page's modules as one script."""

import re

import pytest

from cualex.page.bundle import bundle

MODULES = {
    "app.js": 'import { f } from "./a.js";\nimport * as b from "./b.js";\n\nconst own = 1;\nf(b.g(own));\n',
    "a.js": 'import { g } from "./b.js";\n\nconst own = 2;\nexport function f(x) { return g(x) + own; }\n',
    "b.js": 'import { f } from "./a.js";\n\nexport let held = 0;\nexport const g = x => (held = x);\nexport class C {}',
}


def test_every_module_is_a_block_after_those_that_it_imports():
    found = bundle(MODULES, "app.js")
    assert re.findall(r"^// (.*)$", found, re.M) == ["b.js", "a.js", "app.js"]
    assert "import" not in found
    assert "export" not in found
    assert found.startswith("let held, g, C, f;\n")
    for made in ("\nheld = 0;", "\ng = x =>", "\nC = class C {}", "\nf = function f(x)", "const b = bModule;"):
        assert made in found


@pytest.mark.parametrize(
    ("module", "text", "said"),
    [
        ("a.js", "export const g = 1;\n", "g is exported by a.js and b.js: rename one of them"),
        ("a.js", 'import { x } from "./none.js";\n', "there is no module none.js; there are app.js, a.js, b.js"),
        ("a.js", "export default 1;\n", "a.js: cannot be put into one script: export default 1;"),
        ("a.js", "export let x = 1, y = 2;\nexport { x };\n", "a.js: cannot be put into one script: export { x };"),
        (
            "a.js",
            'import { g as h } from "./b.js";\n',
            'a.js: cannot be put into one script: import { g as h } from "./b.js";',
        ),
        ("a.js", 'import x from "./b.js";\n', 'a.js: cannot be put into one script: import x from "./b.js";'),
    ],
)
def test_what_it_cannot_put_together_is_refused(module, text, said):
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        bundle({**MODULES, "app.js": MODULES["app.js"], module: text}, "app.js")
