"""Templates of a decorated function, compiled once to functions of its parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from . import _tidegate
from ._errors import ConfigError
from ._keys import Place, Template


def compile_key(
    name: str, parameters: list[inspect.Parameter], template: Template, ignore: frozenset[str]
) -> Callable[..., str]:
    """A function with the same parameters that gives the key."""
    _check_parameters(name, parameters, template, ignore)
    key: Callable[..., str] = _compile(name, parameters, "key", _text(template))
    key.__qualname__ = f"{name}.key"
    key.__doc__ = f"The key of a call, by the template {template.text!r}."
    return key


def compile_tags(
    name: str, parameters: list[inspect.Parameter], templates: list[Template]
) -> Callable[..., tuple[str, ...]]:
    """A function with the same parameters that gives the tags."""
    known = {parameter.name for parameter in parameters}
    for template in templates:
        _check_places(f"tags={[template.text]!r}", name, template, known)
    return _compile(name, parameters, "tags", f"({''.join(f'{_text(template)}, ' for template in templates)})")


def _compile(name: str, parameters: list[inspect.Parameter], verb: str, result: str) -> Callable[..., Any]:
    names: dict[str, Any] = {"_tg_part": _tidegate.key_part, "_tg_type": type, "_tg_int": int, "_tg_str": str}
    declared: list[str] = []
    kinds = inspect.Parameter
    for at, parameter in enumerate(parameters):
        text = parameter.name
        if parameter.kind is kinds.VAR_POSITIONAL:
            text = f"*{text}"
        elif parameter.kind is kinds.VAR_KEYWORD:
            text = f"**{text}"
        elif parameter.default is not parameter.empty:
            names[f"_tg_default_{at}"] = parameter.default
            text = f"{text}=_tg_default_{at}"
        before = parameters[at - 1].kind if at else None
        if before is kinds.POSITIONAL_ONLY and parameter.kind is not kinds.POSITIONAL_ONLY:
            declared.append("/")
        if parameter.kind is kinds.KEYWORD_ONLY and before not in (kinds.KEYWORD_ONLY, kinds.VAR_POSITIONAL):
            declared.append("*")
        declared.append(text)
    if parameters and parameters[-1].kind is kinds.POSITIONAL_ONLY:
        declared.append("/")
    source = f"def {verb}({', '.join(declared)}):\n    return {result}\n"
    exec(compile(source, f"<{verb} of {name}>", "exec"), names)
    compiled: Callable[..., Any] = names[verb]
    return compiled


def _text(template: Template) -> str:
    """The source of a template's text."""
    pieces = [piece for place in template.places for piece in (repr(place.before), _place(place))]
    return " + ".join([*pieces, repr(template.after)])


def _place(place: Place) -> str:
    value = place.text
    # Most ids are integers and need no escape.
    return f"(_tg_str({value}) if _tg_type({value}) is _tg_int else _tg_part({value!r}, {value}))"


def _check_parameters(
    name: str, parameters: list[inspect.Parameter], template: Template, ignore: frozenset[str]
) -> None:
    known = {parameter.name for parameter in parameters}
    placed = {place.name for place in template.places}
    _check_places(f"template {template.text!r}", name, template, known)
    for ignored in ignore:
        if ignored not in known:
            raise ConfigError(f"ignore names {ignored!r}, but {name} has no such parameter")
    for parameter in parameters:
        if parameter.name in ignore or parameter.name in placed:
            continue
        raise ConfigError(
            f"parameter {parameter.name!r} of {name} stands neither in the template {template.text!r} nor in ignore: "
            "two calls with different answers would share a key; "
            f'a right example: "{template.text}:{{{parameter.name}}}", or ignore=({parameter.name!r},)'
        )


def _check_places(what: str, name: str, template: Template, known: set[str]) -> None:
    for place in template.places:
        if place.name not in known:
            raise ConfigError(f"{what} has the place {{{place.text}}}, but {name} has no parameter {place.name!r}")
