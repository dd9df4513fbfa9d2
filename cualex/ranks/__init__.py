"""Ranks: processes that train one network together."""
