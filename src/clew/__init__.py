"""clew, a durable orchestrator."""
