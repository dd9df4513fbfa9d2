"""Readers of untrusted files: every length is checked against what is there, and nothing is executed."""
