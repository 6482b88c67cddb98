"""Whom and what clew believes, and what it keeps to itself."""
