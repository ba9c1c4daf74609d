"""Values that come back as something else, since their call names no type: which look so, and the warning."""

from __future__ import annotations

import sys
from typing import Any

from ._errors import ConfigError, TidegateWarning

_ATOMS = frozenset([str, int, float, bool, type(None)])
"""What every codec gives back as it is."""
_KNOWN = _ATOMS | {list, tuple, dict}
_SEGMENTS = 2
# What is beyond so many kinds of keys and types is not told of.
_TOLD_MAX = 1_024


def looks_otherwise(value: Any) -> bool:
    """Whether a value may come back as something else, by itself and by the first of what is in it."""
    kind = type(value)
    if kind is dict:
        for name, inner in value.items():
            return not isinstance(name, str) or type(inner) not in _KNOWN
        return False
    if kind is list or kind is tuple:
        return bool(value) and type(value[0]) not in _KNOWN
    return kind not in _ATOMS


def warn_once(told: set[tuple[str, str]], key: str, place: str, value: Any, held: Any) -> None:
    """Warns where `held`, which callers get, is of another type than `value`; `told` is what has been told."""
    found = _difference(value, held)
    if found is None:
        return
    given, comes, kind = found
    known = (":".join(key.split(":", _SEGMENTS)[:_SEGMENTS]), given)
    if known in told or len(told) >= _TOLD_MAX:
        return
    from warnings import warn

    plain = type(held).__name__
    right = f"type={_name(kind)}, or a return annotation where a function is decorated, or " * _is_readable(kind)
    warn(
        f"{place}{key!r} names no type, so its {given} comes back as {comes}, on hits and misses alike; "
        f"write {right}type={plain} where a {plain} is wanted",
        TidegateWarning,
        stacklevel=_level(),
    )
    # After the warning: where that is raised, it is so every time.
    told.add(known)


def _difference(value: Any, held: Any) -> tuple[str, str, Any] | None:
    """What was given, what comes back instead, and the type that would bring it back; None where nothing changes."""
    kind = type(value)
    if kind is dict:
        for (name, inner), back in zip(value.items(), held.values(), strict=False):
            if not isinstance(name, str):
                return f"dict with keys of {_name(type(name))}", "one with keys of str", dict[type(name), Any]  # type: ignore[misc]
            return _within("dict", inner, back, dict[str, type(inner)])  # type: ignore[misc]
        return None
    if kind is list or kind is tuple:
        for inner, back in zip(value, held, strict=False):
            whole = list[type(inner)] if kind is list else tuple[type(inner), ...]  # type: ignore[misc]
            return _within(kind.__name__, inner, back, whole)
        return None
    return None if held is None or type(held) is kind else (_name(kind), f"a {_name(type(held))}", kind)


def _within(group: str, value: Any, held: Any, kind: Any) -> tuple[str, str, Any] | None:
    """The same for what is inside of a list, a tuple or a dict."""
    if held is None or type(held) is type(value):
        return None
    return f"{group} of {_name(type(value))}", f"one of {_name(type(held))}", kind


def _is_readable(kind: Any) -> bool:
    from ._decoding import way_of

    try:
        way_of(kind)
    except ConfigError:
        return False
    return True


def _name(kind: Any) -> str:
    """As it is written in a program."""
    if (inner := getattr(kind, "__args__", None)) and hasattr(kind, "__origin__"):
        return f"{_name(kind.__origin__)}[{', '.join('...' if one is ... else _name(one) for one in inner)}]"
    return getattr(kind, "__name__", None) or str(kind)


def _level() -> int:
    """Of the first frame that is none of this package's, as `warn` counts from its caller on."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__")):
        level, frame = level + 1, frame.f_back
    return level


def _is_ours(module: str | None) -> bool:
    # What is compiled for a decorated function has no module.
    return module is None or module.partition(".")[0] == "tidegate"
