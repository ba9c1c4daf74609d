"""tidegate for programs that block: the same names as `tidegate`, without `await`.

>>> from tidegate.sync import CacheManager
>>> cache = CacheManager("memory://", service="billing")
>>> cache.get("user:profile:42", lambda: {"name": "Ada"}, ttl="5m")
{'name': 'Ada'}
"""

from __future__ import annotations

from ._manager import CacheManager

__all__ = ["CacheManager"]
