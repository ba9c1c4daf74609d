"""Templates of a decorated function, compiled once to functions of its parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from . import _tidegate
from ._errors import ConfigError
from ._parsing import Place, Template
from ._types import MISSING

_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def compile_key(
    name: str, parameters: list[inspect.Parameter], template: Template, ignore: frozenset[str]
) -> Callable[..., str]:
    """A function with the same parameters that gives the key; those in `ignore` need not be given."""
    _check_parameters(name, parameters, template, ignore)
    unused = ignore - {place.name for place in template.places}
    key = _compile_lean(f"key of {name}", name, parameters, unused, "key", f"return {_text(template)}")
    key.__qualname__ = f"{name}.key"
    key.__doc__ = f"The key of a call, by the template {template.text!r}."
    return key


def _compile_lean(
    what: str, name: str, parameters: list[inspect.Parameter], unused: frozenset[str], verb: str, result: str
) -> Callable[..., Any]:
    """A function of the same parameters, of which the unused may be left out."""
    lean, needed = _without(parameters, unused)
    if not needed:
        return _compile(what, lean, verb, [result])
    left_out = ", ".join(repr(one.name) for one in parameters if one.name in unused)
    given = ["…" if one.kind is one.POSITIONAL_ONLY else f"{one.name}=…" for one in _required(parameters, unused)]
    right = f"{name.rpartition('.')[2]}.invalidate({', '.join(given)})"

    def lacking(parameter: str) -> TypeError:
        return TypeError(
            f"{name}.{verb}() missing the argument {parameter!r}: what is in ignore ({left_out}) may be left out where "
            f"the others are given by their names; a right example: {right}"
        )

    checks = [f"if {one} is _tg_missing: raise _tg_lacking({one!r})" for one in needed]
    names = {"_tg_missing": MISSING, "_tg_lacking": lacking}
    return _compile(what, lean, verb, [*checks, result], names)


def _without(parameters: list[inspect.Parameter], unused: frozenset[str]) -> tuple[list[inspect.Parameter], list[str]]:
    """The same parameters, the unused with a default; and those that now have one though they have to be given.

    By its name an argument may be given wherever it stands, so those after an unused one have a default as well, which
    is refused when it arrives. What has to be given by its place keeps those before it.
    """
    required = _required(parameters, unused)
    by_place = [one for one in required if one.kind is one.POSITIONAL_ONLY]
    first = parameters.index(by_place[-1]) if by_place else 0
    lean, needed = parameters[:first], []
    has_default = False
    for one in parameters[first:]:
        is_named = one.kind is one.KEYWORD_ONLY
        if one.name in unused and one.kind not in _VARIABLE:
            lean.append(one.replace(default=None))
            has_default = has_default or not is_named
        elif has_default and not is_named and one in required:
            lean.append(one.replace(default=MISSING))
            needed.append(one.name)
        else:
            lean.append(one)
    return lean, needed


def _required(parameters: list[inspect.Parameter], unused: frozenset[str]) -> list[inspect.Parameter]:
    return [
        one for one in parameters if one.name not in unused and one.default is one.empty and one.kind not in _VARIABLE
    ]


def compile_tags(
    name: str, parameters: list[inspect.Parameter], templates: list[Template], ignore: frozenset[str] = frozenset()
) -> Callable[..., tuple[str, ...]]:
    """A function with the same parameters that gives the tags; ignored ones that no tag names need not be given."""
    known = {parameter.name for parameter in parameters}
    for template in templates:
        check_places(f"tags={[template.text]!r}", name, template, known)
    unused = ignore - {place.name for template in templates for place in template.places}
    result = f"return {_tuple_of(map(_text, templates))}"
    tags = _compile_lean(f"tags of {name}", name, parameters, unused, "get_cached", result)
    tags.__qualname__ = f"tags of {name}"
    return tags


def compile_call(
    name: str,
    parameters: list[inspect.Parameter],
    template: Template,
    tags: list[Template],
    ask: Callable[..., Any],
    manager: Any,
    plan: Any,
    function: Callable[..., Any],
) -> Callable[..., Any]:
    """The cached function itself, async or plain as `function` is: of L1 here, else what `ask` gives.

    `ask` is given the key, the coder, the terms, and the call's arguments as a tuple and a dict. Nothing is bound to
    parameters but by the interpreter's own call: that is most of what a hit costs.
    """
    is_async = inspect.iscoroutinefunction(function)
    names = {
        "_tg_ask": ask,
        "_tg_manager": manager,
        "_tg_plan": plan,
        "_tg_terms": plan.terms,
        "_tg_coder": plan.coder,
        "_tg_function": function,
        "_tg_nothing": _tidegate.NOTHING,
    }
    body = [
        f"_tg_key = {_text(template)}",
        *([f"_tg_terms = _tg_plan.tagged({_tuple_of(map(_text, tags))})"] if tags else []),
        *(["_tg_coder = _tg_plan.coder or _tg_plan.resolve()"] if plan.coder is None else []),
        "_tg_held = _tg_manager._held",
        "if _tg_held is not None:",
        "    _tg_value = _tg_held(_tg_key, _tg_terms, _tg_coder, _tg_function)",
        "    if _tg_value is not _tg_nothing:",
        "        return _tg_value",
        f"return {'await ' * is_async}_tg_ask(_tg_key, _tg_coder, _tg_terms, {_forwarded(parameters)})",
    ]
    return _compile(f"call of {name}", parameters, "cached", body, names, "async def" if is_async else "def")


def _compile(
    what: str,
    parameters: list[inspect.Parameter],
    verb: str,
    body: list[str],
    more: dict[str, Any] | None = None,
    keyword: str = "def",
) -> Callable[..., Any]:
    names: dict[str, Any] = {"_tg_part": _tidegate.key_part, "_tg_type": type, "_tg_int": int, "_tg_str": str}
    names.update(more or {})
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
    source = "\n    ".join([f"{keyword} {verb}({', '.join(declared)}):", *body])
    exec(compile(source, f"<{what}>", "exec"), names)
    compiled: Callable[..., Any] = names[verb]
    return compiled


def _forwarded(parameters: list[inspect.Parameter]) -> str:
    """The source of a call's arguments as a tuple and a dict."""
    kinds = inspect.Parameter
    positional = [
        f"*{parameter.name}" if parameter.kind is kinds.VAR_POSITIONAL else parameter.name
        for parameter in parameters
        if parameter.kind not in (kinds.KEYWORD_ONLY, kinds.VAR_KEYWORD)
    ]
    named = [
        f"**{parameter.name}" if parameter.kind is kinds.VAR_KEYWORD else f"{parameter.name!r}: {parameter.name}"
        for parameter in parameters
        if parameter.kind in (kinds.KEYWORD_ONLY, kinds.VAR_KEYWORD)
    ]
    return f"{_tuple_of(positional)}, {{{', '.join(named)}}}"


def _tuple_of(sources: Iterable[str]) -> str:
    return f"({''.join(f'{source}, ' for source in sources)})"


def _text(template: Template) -> str:
    """The source of a template's text."""
    pieces = [piece for place in template.places for piece in (repr(place.before), _place(place))]
    return " + ".join([*pieces, repr(template.after)] if template.after or not pieces else pieces)


def _place(place: Place) -> str:
    value = place.text
    # Most ids are integers and need no escape.
    return f"(_tg_str({value}) if _tg_type({value}) is _tg_int else _tg_part({value!r}, {value}))"


def _check_parameters(
    name: str, parameters: list[inspect.Parameter], template: Template, ignore: frozenset[str]
) -> None:
    known = {parameter.name for parameter in parameters}
    placed = {place.name for place in template.places}
    check_places(f"template {template.text!r}", name, template, known)
    for ignored in ignore:
        if ignored not in known:
            raise ConfigError(f"ignore names {ignored!r}, but {name} has no such parameter")
    for parameter in parameters:
        if parameter.name in ignore or parameter.name in placed:
            continue
        raise unplaced(f"parameter {parameter.name!r} of {name}", parameter.name, template.text, "calls")


def unplaced(what: str, name: str, template: str, who: str) -> ConfigError:
    """The error for an argument that is no part of the key: `who` would share it."""
    return ConfigError(
        f"{what} stands neither in the template {template!r} nor in ignore: two {who} with different answers would "
        f'share a key; a right example: "{template}:{{{name}}}", or ignore=({name!r},)'
    )


def check_ignore(ignore: Iterable[str]) -> frozenset[str]:
    """The names of arguments that are no part of a key; a text would be taken for its letters."""
    if isinstance(ignore, str):
        raise ConfigError(f"ignore={ignore!r} is a text, not several names; a right example: ignore=({ignore!r},)")
    return frozenset(ignore)


def check_places(what: str, name: str, template: Template, known: Iterable[str]) -> None:
    """Refuses a template with places that are no parameters."""
    for place in template.places:
        if place.name not in known:
            raise ConfigError(f"{what} has the place {{{place.text}}}, but {name} has no parameter {place.name!r}")
