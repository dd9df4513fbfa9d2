"""Run a command on the stand-in for CUDA: python tests/cudart [--devices N] [--architecture 75] ... COMMAND ...

Each option is a CUDART_ variable (see __init__.py): --memory 100000000 is CUDART_MEMORY. The exit code is the
command's; where that is 0 and something was found, 86.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests import cudart

FOUND = 86
NAMES = ["devices", "architecture", "memory", "peers", "order", "seed", "broken", "fail", "no-capture", "idle"]


def main(words: list[str]) -> int:
    """Take the options off, and run the rest."""
    variables = {}
    while words and words[0].startswith("--"):
        name, _, value = words.pop(0)[2:].partition("=")
        if name == "help":
            raise SystemExit(cudart.__doc__.strip())
        if name not in NAMES:
            raise SystemExit(f"option --{name}: expected one of --{', --'.join(NAMES)}")
        if not value and not words:
            raise SystemExit(f"option --{name} wants a value")
        variables[f"CUDART_{name.replace('-', '_').upper()}"] = value or words.pop(0)
    if not words:
        raise SystemExit(__doc__.strip())
    try:
        variables.update(cudart.environment())
    except cudart.Missing as missing:
        raise SystemExit(str(missing)) from None
    with NamedTemporaryFile("r", prefix="cudart-findings-") as found:
        variables["CUDART_FINDINGS"] = found.name
        child = subprocess.Popen(words, env={**os.environ, **variables})
        # Ctrl-C reaches all of a terminal's processes: the command ends by it, and then what it found is read.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda number, _: child.send_signal(number))
        code = child.wait()
        findings = found.read().splitlines()
    if findings:
        print(f"cudart: {len(findings)} found", file=sys.stderr)
    return (code if code >= 0 else 128 - code) or (FOUND if findings else 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
