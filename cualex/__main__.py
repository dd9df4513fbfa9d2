"""`python -m cualex` is the command `cualex`."""

from cualex.cli import main

main()
