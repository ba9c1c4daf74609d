"""Templates, which are keys and tags with named places, taken apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from . import _tidegate
from ._errors import KeyFormatError

RIGHT_TEMPLATE = '"user:profile:{user_id}"'


class Place(NamedTuple):
    """A named place of a template, with the text before it: `{user.id}` is of `user`, by the path `("id",)`."""

    before: str
    name: str
    path: tuple[str, ...]

    @property
    def text(self) -> str:
        """The place as its template has it, without braces."""
        return ".".join((self.name, *self.path))


class Template(NamedTuple):
    """A key with named places, taken apart: the places in order, and the text after the last."""

    text: str
    places: tuple[Place, ...]
    after: str


def parse_template(text: object) -> Template:
    """Take a template apart; `KeyFormatError` when no value could make a right key of it.

    >>> [place.text for place in parse_template("user:{user.id}:posts:{page}").places]
    ['user.id', 'page']
    """
    if not isinstance(text, str):
        raise KeyFormatError(f"template={text!r} is not a text; a right example: {RIGHT_TEMPLATE}")
    _tidegate.check_name("template", text)
    template = _parse(text)
    texts = [*(place.before for place in template.places), template.after]
    _tidegate.check_template(text, texts, RIGHT_TEMPLATE)
    return template


def parse_tag_template(text: str) -> Template:
    """The same for a tag, which may have one segment only; whether it is right, its terms tell."""
    return _parse(text)


def _parse(text: str) -> Template:
    pieces = list(_pieces(text))
    places = tuple(Place(before, *_path(text, name)) for before, name in pieces[:-1] if name is not None)
    return Template(text, places, pieces[-1][0])


def _pieces(text: str) -> Iterator[tuple[str, str | None]]:
    rest = text
    while True:
        before, brace, rest = rest.partition("{")
        if "}" in before:
            raise _refused(text, "has a } without its {")
        if not brace:
            yield before, None
            return
        name, brace, rest = rest.partition("}")
        if not brace:
            raise _refused(text, "has a { without its }")
        yield before, name


def _path(text: str, name: str) -> tuple[str, tuple[str, ...]]:
    first, *path = name.split(".")
    if not all(step.isidentifier() for step in (first, *path)):
        raise _refused(text, f"has the place {{{name}}}, which is no name of a parameter")
    return first, tuple(path)


def _refused(text: str, fault: str) -> KeyFormatError:
    return KeyFormatError(f"template {text!r} {fault}; a right example: {RIGHT_TEMPLATE}")
