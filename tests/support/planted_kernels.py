"""Kernels with a fault planted in them, for tests that see it caught."""

from dataclasses import replace
from pathlib import Path

from cualex import kernels
from tests import ROOT


def planted(runtime, fault, into):
    """Return a class of runtimes whose kernels have a fault: `fault` in place of `into`."""

    class Planted(runtime):
        found = False

        def _program(self, launch):
            program = super()._program(launch)
            if into in program.text:
                self.found = True
            return replace(program, text=program.text.replace(into, fault))

    return Planted


def nowhere(places):
    """List the texts that no kernel, header or emulated primitive has: a fault there would be planted nowhere."""
    folders = Path(kernels.__file__).parent, ROOT / "cualex" / "emulator"
    texts = [path.read_text() for folder in folders for path in folder.rglob("*.cu*")]
    return [place for place in places if not any(place in text for text in texts)]
