"""The errors of tidegate. A fallback's own exception is never one of these: it reaches its callers unchanged.

    Exception
    └── TidegateError
        ├── ConfigError        also a ValueError
        ├── KeyFormatError     also a ValueError
        ├── ValueTooLarge      also a ValueError
        ├── EncodeError        also a TypeError
        ├── QueueFull
        ├── ClosedError        also a RuntimeError
        ├── HardTimeout        also a TimeoutError
        ├── StoreUnavailable   also a ConnectionError
        └── InternalError      also a RuntimeError

Names, codes and messages are the same in every language; they come from the core.
"""

from __future__ import annotations

from . import _tidegate


class TidegateError(Exception):
    """The base of every error of tidegate's own. `code` is stable, for logs and for programs."""

    code: str = "ERR_TIDEGATE"
    """A stable name; `docs/errors.md` lists them."""


class TidegateWarning(UserWarning):
    """A value whose call names no type came back as something else: a class as a dict, a `datetime` as a text.

    Once for each kind of key (its first two segments) and type, of each manager. With `-W error` it is raised to the
    caller, and the value is not stored.
    """


class ConfigError(TidegateError, ValueError):
    """An option, URL or argument that cannot work; the message names it and shows a right example."""

    code = _tidegate.ERROR_CODES["ConfigError"]


class KeyFormatError(TidegateError, ValueError):
    """A key or template that breaks the rules; the message shows the place and a right example."""

    code = _tidegate.ERROR_CODES["KeyFormatError"]


class ValueTooLarge(TidegateError, ValueError):
    """A value over `max_value_bytes`; the message has both figures. A fallback's is returned uncached instead."""

    code = _tidegate.ERROR_CODES["ValueTooLarge"]


class EncodeError(TidegateError, TypeError):
    """A value that the codec cannot write; the message has the place in it. A fallback's is one with `strict` only."""

    code = _tidegate.ERROR_CODES["EncodeError"]


class QueueFull(TidegateError):
    """A bounded queue is full; the same call may succeed later."""

    code = _tidegate.ERROR_CODES["QueueFull"]


class ClosedError(TidegateError, RuntimeError):
    """The manager has been closed."""

    code = _tidegate.ERROR_CODES["ClosedError"]


class HardTimeout(TidegateError, TimeoutError):
    """A fallback ran past `hard_timeout`; its lease is free again."""

    code = _tidegate.ERROR_CODES["HardTimeout"]


class StoreUnavailable(TidegateError, ConnectionError):
    """The store did not confirm what the caller asked it to confirm."""

    code = _tidegate.ERROR_CODES["StoreUnavailable"]


class InternalError(TidegateError, RuntimeError):
    """A bug of tidegate's: its native half panicked. The process and the manager go on."""

    code = _tidegate.ERROR_CODES["InternalError"]
