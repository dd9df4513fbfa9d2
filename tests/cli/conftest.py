"""What the tests of commands share."""


class Clock:
    """A clock that goes on only when told."""

    now = 100.0

    def monotonic(self):
        return self.now
