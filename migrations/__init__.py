"""Two trees of numbered, forward-only migrations: `modelhub` and `classification`."""
