"""The `cualex` command. Every other file here is one command; nothing lists them."""

import click


@click.group()
def main() -> None:
    """Train and use the AlexNet of 2012."""
