"""One local store for all AI models: each file once, known, explained, and deployed to every app."""

__version__ = "0.1.0"
