"""Views of a manager: namespaces and tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _tidegate
from ._checks import Checks
from ._errors import ConfigError

if TYPE_CHECKING:
    from uuid import UUID
    from weakref import WeakSet

    from typing_extensions import Self, Unpack

    from ._options import TenantOptions
    from ._tidegate import Terms


class Views(Checks):
    """What makes them."""

    __slots__ = ()

    _root: Self | None
    _views: WeakSet[Self]
    _namespaces: tuple[str, ...]
    _scope: str

    def namespace(self, name: str) -> Self:
        """A view of this manager whose entries share one tag, so that `clear` removes them all at once.

        The keys are the same, and so are the connections, observers and figures. Views nest.

        >>> from tidegate.sync import CacheManager
        >>> catalog = CacheManager().namespace("catalog")
        >>> catalog.get("product:7", lambda: "lamp")
        'lamp'
        >>> catalog.clear(), catalog.exists("product:7")
        (True, False)
        """
        _tidegate.check_name("namespace", name)
        outer = self._namespaces
        whole = f"{outer[-1]}:{name}" if outer else name
        return self._view((*outer, whole), self._native.namespace(self._terms, whole))

    def tenant(self, name: str | int | UUID, **options: Unpack[TenantOptions]) -> Self:
        """The view of one tenant: its calls mean the tenant's own keys, tags and namespaces, and `stats` is its own.

        The name comes from data: any text that is not empty, of 100 bytes at most once it is escaped as a part of a key
        is, an integer or a UUID; `KeyFormatError` for others. No name and no key reaches what is another tenant's, or
        the manager's own. Connections, observers and L1 are the manager's. `options`: what its calls go by that say
        nothing of their own, and `max_fallbacks`, how many of its fallbacks run at once while the store is away. A
        namespace's view gives that namespace of the tenant's; `ConfigError` for a tenant of a tenant.

        >>> from tidegate.sync import CacheManager
        >>> cache = CacheManager()
        >>> acme = cache.tenant("acme", ttl="1h")
        >>> acme.set("user:profile:42", "Ada")
        True
        >>> cache.exists("user:profile:42"), cache.tenant("other").exists("user:profile:42")
        (False, False)
        """
        given = {option: value for option, value in options.items() if option != "ttl" or value is not None}
        terms = self._native.tenant(self._terms, name, list(self._namespaces), given)
        return self._view(self._namespaces, terms)

    def _view(self, namespaces: tuple[str, ...], terms: Terms) -> Self:
        root = self._root or self
        view = object.__new__(type(self))
        # What a class of the user's own has put there.
        getattr(view, "__dict__", {}).update(getattr(root, "__dict__", {}))
        view._go_by(namespaces, terms)
        view._share(root)
        root._views.add(view)
        return view

    def _go_by(self, namespaces: tuple[str, ...], terms: Terms) -> None:
        raise NotImplementedError

    def _share(self, root: Self) -> None:
        raise NotImplementedError

    def _namespace(self) -> str:
        if not self._namespaces:
            raise ConfigError('clear() is of a namespace; a right example: cache.namespace("catalog").clear()')
        return self._namespaces[-1]
