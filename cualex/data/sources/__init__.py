"""Data sets on disk: folders, archives, or the built-in demo set."""

from cualex.data.sources.discovery import Image, Source, Survey, find, find_images, survey

__all__ = ["Image", "Source", "Survey", "find", "find_images", "survey"]
