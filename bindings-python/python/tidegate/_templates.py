"""Templates of a decorated function, compiled once to functions of its parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from . import _tidegate
from ._errors import ConfigError
from ._keys import Place, Template


def compile_key(
    name: str, parameters: list[inspect.Parameter], template: Template, ignore: frozenset[str]
) -> Callable[..., str]:
    """A function with the same parameters that gives the key; those in `ignore` need not be given."""
    _check_parameters(name, parameters, template, ignore)
    lean = _without(parameters, ignore - {place.name for place in template.places})
    key: Callable[..., str] = _compile(f"key of {name}", lean, "key", [f"return {_text(template)}"])
    key.__qualname__ = f"{name}.key"
    key.__doc__ = f"The key of a call, by the template {template.text!r}."
    return key


def _without(parameters: list[inspect.Parameter], unused: frozenset[str]) -> list[inspect.Parameter]:
    """The same parameters; the unused may be left out where that moves no other: at the end, and those by keyword."""
    kinds = inspect.Parameter
    lean: list[inspect.Parameter] = []
    is_last = True
    for parameter in reversed(parameters):
        is_variable = parameter.kind in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)
        is_named = parameter.kind is kinds.KEYWORD_ONLY
        if not is_variable and parameter.name in unused and (is_last or is_named):
            parameter = parameter.replace(default=None)
        if not is_variable and not is_named:
            is_last = is_last and parameter.default is not parameter.empty
        lean.append(parameter)
    return lean[::-1]


def compile_tags(
    name: str, parameters: list[inspect.Parameter], templates: list[Template], ignore: frozenset[str] = frozenset()
) -> Callable[..., tuple[str, ...]]:
    """A function with the same parameters that gives the tags; ignored ones that no tag names need not be given."""
    known = {parameter.name for parameter in parameters}
    for template in templates:
        check_places(f"tags={[template.text]!r}", name, template, known)
    lean = _without(parameters, ignore - {place.name for template in templates for place in template.places})
    tags = _compile(f"tags of {name}", lean, "tags", [f"return {_tuple_of(map(_text, templates))}"])
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
