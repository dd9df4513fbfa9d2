"""The tests, folder by folder as the package has them; support/ has what they share."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
