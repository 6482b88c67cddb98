-- Who drives the runs of this file: one orchestrator at a time, each under the next epoch.

CREATE TABLE orchestrators (
  epoch INTEGER NOT NULL PRIMARY KEY,         -- who has the last one may record what becomes of runs, and nobody else
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  boot_id TEXT NOT NULL,                      -- names the time since that machine was started
  started_at INTEGER NOT NULL,
  uptime INTEGER NOT NULL,                    -- milliseconds from the machine's start to then, by a clock nobody sets
  clew TEXT NOT NULL,                         -- version of clew
  unsafe TEXT NOT NULL                        -- JSON: what was found unsafe by name, where somebody drove all the same
) STRICT;
