"""Many tenants, and a schema that changes: old processes in Python and new ones in Node.js, side by side on one Redis.

    python -m examples.choosing.tenants

Version 1 shows `{"name": "Ada Lovelace"}`, version 2 `{"first": "Ada", "last": "Lovelace"}`: `tenants.mjs`.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from examples.choosing.stage import COMMAND_TIMEOUT, connection, execute, node, say, select, tell
from tests.support.child import Child
from tests.support.redis_server import RedisServer
from tidegate import CacheManager, key

# Names of tenants come from data. The second one would reach into the first if it were pasted before a key.
ACME, SLY = "acme", "acme:user"
USERS = 50


class OldService:
    """Version 1 of the service."""

    def __init__(self, url: str, file: Path) -> None:
        self.file = file
        self.queries = 0
        self.cache = CacheManager(url, service="crm", version=1, ttl="1h", command_timeout=COMMAND_TIMEOUT)

    async def profile(self, host: str, user: int) -> dict[str, str]:
        """A user of the tenant's; `host` is what the request says."""
        shown: dict[str, str] = await self.cache.tenant(host).get(
            key("user", "profile", user), lambda: self._row(host, user), tags=["users"]
        )
        return shown

    async def _row(self, host: str, user: int) -> dict[str, str]:
        self.queries += 1
        ((name,),) = await select(self.file, "SELECT name FROM users WHERE tenant = ? AND id = ?", host, user)
        return {"name": name}


async def main() -> None:
    """The story."""
    with tempfile.TemporaryDirectory() as folder, RedisServer() as server, node("tenants.mjs") as new:
        file = Path(folder) / "crm.db"
        with connection(file) as database:
            database.execute("CREATE TABLE users (tenant, id, name, PRIMARY KEY (tenant, id))")
            rows = [
                (tenant, user, f"{given} {user}")
                for tenant, given in ((ACME, "Ada"), (SLY, "Sly"))
                for user in range(USERS)
            ]
            database.executemany("INSERT INTO users VALUES (?, ?, ?)", rows)
        old = OldService(server.url, file)
        async with old.cache:
            for tenant, given in ((ACME, "Ada"), (SLY, "Sly")):
                shown = await asyncio.gather(*(old.profile(tenant, user) for user in range(USERS)))
                assert shown == [{"name": f"{given} {user}"} for user in range(USERS)]
            say(f"version 1 has cached {USERS} users of each of two tenants: {old.queries} queries")
            await migrate(file)
            tell(new, "open", url=server.url, file=str(file))
            await deployed(old, new)
            await apart(old, new)
        tell(new, "close")


async def migrate(file: Path) -> None:
    """The database first, so that both versions can read it: new columns beside the old one."""
    for column in ("first", "last"):
        await execute(file, f"ALTER TABLE users ADD COLUMN {column}")
    half = "instr(name, ' ')"
    await execute(file, f"UPDATE users SET first = substr(name, 1, {half} - 1), last = substr(name, {half} + 1)")


async def rename(file: Path, last: str) -> None:
    """Another last name for acme's first user, in both shapes for as long as both versions run."""
    await execute(file, "UPDATE users SET name = 'Ada ' || ?1, last = ?1 WHERE id = 0 AND tenant = ?2", last, ACME)


async def deployed(old: OldService, new: Child) -> None:
    """The new version finds the old one's entries, and does without the database."""
    began = time.monotonic()
    shown = tell(new, "profiles", host=ACME, users=list(range(USERS)))
    assert shown["profiles"] == [{"first": "Ada", "last": str(user)} for user in range(USERS)]
    assert shown["queries"] == 0, f"{shown['queries']} queries"
    say(f"version 2 takes {USERS} entries over, as they are asked for: 0 queries")

    # A version that comes to others stores nothing until everybody has heard of it.
    stored = tell(new, "stored", host=ACME, user=0, ms=15_000)
    assert stored["queries"] == 0
    say(f"version 2 stores its own entries {time.monotonic() - began:.0f} s after it came; 0 queries until then")

    await rename(old.file, "Byron")
    tell(new, "invalidate", host=ACME, user=0)
    assert await old.profile(ACME, 0) == {"name": "Ada Byron"}
    assert tell(new, "profiles", host=ACME, users=[0])["profiles"] == [{"first": "Ada", "last": "Byron"}]
    say("a row that changed, invalidated by version 2, is new in version 1 at once, and the other way round")
    await rename(old.file, "King")
    assert await old.cache.tenant(ACME).invalidate("user:profile:0")
    assert tell(new, "profiles", host=ACME, users=[0])["profiles"] == [{"first": "Ada", "last": "King"}]


async def apart(old: OldService, new: Child) -> None:
    """What one tenant ends is its own."""
    assert await old.cache.tenant(ACME).invalidate_tag("users")
    before = old.queries
    assert await old.profile(SLY, 7) == {"name": "Sly 7"}
    assert old.queries == before, "the other tenant's entries stand"
    assert await old.profile(ACME, 7) == {"name": "Ada 7"}
    assert old.queries == before + 1, "the tenant's own are gone"
    assert tell(new, "profiles", host=SLY, users=[7])["profiles"] == [{"first": "Sly", "last": "7"}]
    hits = {tenant: old.cache.tenant(tenant).stats()["hits"] for tenant in (ACME, SLY)}
    say(f"{ACME!r} ends all its users; {SLY!r} keeps its own ({hits[SLY]:.0f} hits counted for it)")


if __name__ == "__main__":
    asyncio.run(main())
