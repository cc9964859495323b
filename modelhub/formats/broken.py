"""How a parser says that a file is of its format, and damaged."""


class BrokenFile(Exception):
    """Raised inside a parser; `inspect` turns it into an Inspection with state ``broken``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
