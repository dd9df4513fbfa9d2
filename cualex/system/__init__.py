"""Files, the cache directory, and what a figure was made with."""
