"""Where work runs: each executor keeps the promises of `clew.ports.Executor`."""
