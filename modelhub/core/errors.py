"""Every error a user can meet, as one small tree.

    ModelHubError
    ├── NotFound         no such model, target, file or folder
    ├── Ambiguous        a name or digest prefix fits several models
    ├── Conflict         something of the user's is in the way, or a name is taken
    ├── InvalidInput     an argument or value that cannot be right
    ├── ConfigInvalid    a settings file with an unknown key or a wrong value
    ├── Unreadable       a file or folder that the system does not let us read or write
    ├── Unsafe           a file that could run code, where only numbers are wanted
    ├── NoSpace          the disk is full
    ├── CannotLink       a file system without the kind of link that was asked for
    ├── Changed          a file changed while it was being read
    ├── HashMismatch     content is not what its address says
    ├── Offline          the net cannot be reached, or is switched off
    ├── RemoteRefused    a site answered with something other than what was asked for
    ├── SchemaTooNew     a database made by a newer ModelHub
    └── DatabaseBroken   a database that SQLite refuses

`message` says what is, `hint` what to do. Each class knows its exit code and HTTP status.
"""

import errno


class ModelHubError(Exception):
    code = "error"
    exit_code = 1
    http_status = 500

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NotFound(ModelHubError):
    code = "not_found"
    http_status = 404


class Ambiguous(ModelHubError):
    code = "ambiguous"
    http_status = 409


class Conflict(ModelHubError):
    code = "conflict"
    http_status = 409


class InvalidInput(ModelHubError):
    code = "invalid_input"
    exit_code = 2
    http_status = 422


class ConfigInvalid(ModelHubError):
    code = "config_invalid"
    exit_code = 2
    http_status = 422


class Unreadable(ModelHubError):
    code = "unreadable"
    http_status = 403


class Unsafe(ModelHubError):
    code = "unsafe"
    http_status = 403


class NoSpace(ModelHubError):
    code = "no_space"
    http_status = 507


class CannotLink(ModelHubError):
    code = "cannot_link"
    http_status = 409


class Changed(ModelHubError):
    code = "changed"
    http_status = 409


class HashMismatch(ModelHubError):
    code = "hash_mismatch"
    http_status = 409


class Offline(ModelHubError):
    code = "offline"
    http_status = 503


class RemoteRefused(ModelHubError):
    code = "remote_refused"
    http_status = 502


class SchemaTooNew(ModelHubError):
    code = "schema_too_new"
    http_status = 409


class DatabaseBroken(ModelHubError):
    code = "database_broken"


_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


def as_ours(error: ModelHubError | OSError, what: str) -> ModelHubError:
    """The error as one of ours; see `from_os_error` for `what`."""
    return error if isinstance(error, ModelHubError) else from_os_error(error, what)


def from_os_error(error: OSError, what: str) -> ModelHubError:
    """The error of ours that says in one sentence what the system refused.

    `what` is the subject of the sentence, already made printable, e.g. ``"/models/a.gguf"``.
    """
    reason = (error.strerror or str(error)).lower()
    if error.errno in _NO_SPACE:
        return NoSpace(f"{what}: {reason}.", hint="Free some space and run the same command again.")
    if error.errno == errno.ENOENT:
        return NotFound(f"{what} does not exist.", hint="Check the path.")
    if error.errno == errno.EROFS:
        return Unreadable(f"{what}: {reason}.", hint="Mount it for writing, or choose another --hub.")
    return Unreadable(f"{what}: {reason}.", hint="Check its permissions.")
