"""`clew replay` and `clew verify`: what the sealed record proves, shown to a person or a program."""
