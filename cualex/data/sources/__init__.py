"""Data sets as they lie on a disk: folders, archives, or the built-in demo set."""

from cualex.data.sources.discovery import Picture, Source, Survey, find, survey

__all__ = ["Picture", "Source", "Survey", "find", "survey"]
