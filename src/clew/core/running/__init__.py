"""What happened in a run, and what happens next."""
