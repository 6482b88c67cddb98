"""What a journal means and what should happen next.

Rules of this package: nothing here does I/O, asks a clock, draws chance or reads the environment; all of
that comes in as data. It imports no other part of clew. So a decision can be replayed, and be trusted.
"""
