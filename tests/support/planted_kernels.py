"""Kernels with a fault planted in them, for tests that see it caught."""

from dataclasses import replace


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
