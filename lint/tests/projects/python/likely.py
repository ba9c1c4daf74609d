# No import of the library here: names and the ways of calling are all there is.
import cachetools
from app import cache
from django.core.cache import cache as django_cache


async def awaited(user_id, users_cache, given):
    await cache.get(f"user:{user_id}")  # -> TG005
    await users_cache.get("flat")  # -> TG002
    users_cache.get("flat", lambda: 1)  # -> TG002
    users_cache.get("flat", given, ttl="1m")  # -> TG002
    users_cache.invalidate_tag("a b")  # -> TG011
    # A dictionary may have that name.
    users_cache.get("flat")
    users_cache.get("flat", given)
    users_cache.set("flat", given)
    given.get("flat")


@cache.cached("user:{user_id}")  # -> TG006
async def decorated(): ...


async def others(request):
    await django_cache.get("flat")
    plain_cache = {}
    plain_cache.get("flat", ttl=1)
    made_cache = cachetools.TTLCache(10, 10)
    made_cache.get("flat", lambda: 1)
    built_cache = make()
    await built_cache.get("flat")  # -> TG002
    typed_cache: dict[str, int] = make()
    await typed_cache.get("flat")
    await request.app.state.cache.get("flat")  # -> TG002


def make(): ...


class Service:
    def __init__(self, cache):
        self._cache = {}
        self.cache = cache

    async def load(self):
        self._cache.get("flat", lambda: 1)
        await self.cache.get("flat")  # -> TG002
