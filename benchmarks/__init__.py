"""Performance promises, each a ratio against a public tool or a floor measured in the same run."""
