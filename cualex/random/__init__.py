"""Random numbers as pure functions of where they are used."""
