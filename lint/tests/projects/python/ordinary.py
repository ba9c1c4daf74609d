# Nothing of this is a cache's, though tidegate is used: no line is found.
import os
from collections import OrderedDict, defaultdict

import requests
from django.core.cache import cache
from flask_caching import Cache

from tidegate import CacheManager, key

manager = CacheManager(service="billing")
table: dict[str, int] = {}
ordered = OrderedDict()
counts = defaultdict(int)
flask_cache = Cache()


class LRUCache(dict):
    def get(self, name): ...


local_cache = LRUCache()
lru_cache = dict(a=1)


def ordinary(name, session, params: dict, request):
    table.get("flat")
    table.get(f"flat {name}")
    ordered.get("a::b")
    counts.get("x y", 0)
    os.environ.get("HOME")
    requests.get(f"https://example.org/{name}")
    session.get("flat", lambda: 1)
    params.get("flat")
    request.headers.get("X-Id")
    request.session.set("flat", 1)
    cache.get("django key")
    cache.set(f"django {name}", 1, timeout=5)
    cache.get_many(["flat"])
    flask_cache.get("flat")
    local_cache.get("flat")
    lru_cache.get("flat")
    {}.get("flat")
    "a:b".format(1)
    name.key("x")
    {"cache": 1}.get("cache")


@flask_cache.cached(timeout=50, key_prefix="all")
def view(): ...


async def right(user_id, load):
    await manager.get("user:profile:42", load)
    await manager.get(key("user", user_id), load, tags=["user:42", "users"])
    await manager.get("user:ä", load)
    await manager.get("user:a%3Ab", load)
    await manager.set_many({"user:1": 1, **table})
    await manager.invalidate(*[key("user", one) for one in user_id])
    manager.stats().get("hits")
    manager.on("cache.hit", print)
    with manager.disabled():
        manager.tenant("any text: at all")


def shadow(manager):
    key = table.get
    key("flat")
    return manager
