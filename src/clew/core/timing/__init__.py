"""When a program is due: its cadence on local time, and what a change of clocks makes of it."""
