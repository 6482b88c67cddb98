"""The state store: one behaviour, two databases (the second comes with its own folder of SQL)."""
