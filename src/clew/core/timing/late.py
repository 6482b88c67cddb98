"""How late is late. By itself, since who needs no more than that need not load how times are found."""

LATE_MILLISECONDS_MAX = 60_000
"""A due time is due for the whole of its minute: what is made due that much later is not late. So a restart of the
orchestrator, or a slow machine, makes nothing of what is due meanwhile a missed time."""
