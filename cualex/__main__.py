"""`python -m cualex` is the command `cualex`."""

from cualex.cli import main

if __name__ == "__main__":
    main()
