# Every call that takes keys or names; `-> CODE` says what its line is found to be.
import tidegate
from tidegate import CacheManager, key, tag
from tidegate.sync import CacheManager as Blocking

cache = CacheManager(service="billing", version=2)
wrong = CacheManager(
    service="bil ling",  # -> TG012
    version=0,  # -> TG012
)
sync_store = Blocking(service="a:b", version=-1)  # -> TG012 TG012
qualified = tidegate.CacheManager()
PREFIX = "user"
FLAT = "users"  # -> TG002


async def every_verb(user_id: str, load, values, other_name: "CacheManager", unknown):
    await cache.get("flat", load)  # -> TG002
    await cache.get(key="flat", fallback=load)  # -> TG002
    await cache.get_entry("flat")  # -> TG002
    await cache.exists("a::b")  # -> TG003
    await cache.set("a:b c", 1)  # -> TG004
    await cache.refresh("", load)  # -> TG003
    await cache.write_through("a:%zz", 1, load)  # -> TG004
    await cache.get_fields("a:{b}", ["x"], load)  # -> TG004
    await cache.set_fields("a:b*", {"x": 1})  # -> TG004
    await cache.invalidate_field("flat", "x")  # -> TG002
    await cache.invalidate("a:b", "flat", "a:")  # -> TG002 TG003
    await cache.expire("a:b", "flat")  # -> TG002
    await cache.get_many(["a:b", "flat"], load)  # -> TG002
    await cache.get_many([f"user:{one}" for one in values], load)  # -> TG005
    await cache.set_many({"a:b": 1, "flat": 2})  # -> TG002
    await cache.set_many({f"user:{one}": one for one in values})  # -> TG005
    await cache.invalidate_tag("a b", "right", "a:b")  # -> TG011
    await cache.get("a:b", load, tags=["right", "a:", f"user:{user_id}"])  # -> TG011 TG005
    cache.namespace("a b")  # -> TG011
    await cache.publish_event("user updated", {})  # -> TG011
    await cache.invalidate(FLAT)
    await cache.get(42, load)  # -> TG013
    await other_name.get("flat", load)  # -> TG002
    await qualified.get("flat", load)  # -> TG002
    sync_store.get("flat", load)  # -> TG002
    await cache.tenant(user_id).namespace("shop").get("flat", load)  # -> TG002
    await CacheManager().get("flat", load)  # -> TG002
    await cache.get(f"user:{user_id}" if values else "flat", load)  # -> TG005 TG002
    await cache.get("user:" "profile" ":x y", load)  # -> TG004
    await cache.get("user:" + "x" * 300, load)  # -> TG005
    await cache.get(unknown, load)
    queue = cache.write_behind("coun ters", load)  # -> TG011
    await queue.put("flat", 1)  # -> TG002


async def data_in_keys(user_id, load, uid: int):
    await cache.get(f"user:{user_id}", load)  # -> TG005
    await cache.get(f"user:{user_id!r}", load)  # -> TG005
    await cache.get(f"user:{user_id:>5}", load)  # -> TG005
    await cache.get("user:" + user_id, load)  # -> TG005
    await cache.get("user:" + user_id + ":profile", load)  # -> TG005
    await cache.get("user:%s" % user_id, load)  # -> TG005
    await cache.get("user:%(id)s:100%%" % {"id": user_id}, load)  # -> TG004 TG005
    await cache.get("user:{}".format(user_id), load)  # -> TG005
    await cache.get("user:{0.id}:{{".format(user_id), load)  # -> TG004 TG005
    await cache.get(":".join(["user", user_id]), load)  # -> TG005
    await cache.get(f"user-{user_id}-{uid}", load)  # -> TG005 TG008
    await cache.get(f"user{user_id}", load)  # -> TG002 TG005
    await cache.get(f"{PREFIX}:{user_id}", load)  # -> TG005
    made = f"user:{user_id}"  # -> TG005
    await cache.get(made, load)
    await cache.get(f"{PREFIX}:all", load)
    # A whole number makes no segments.
    await cache.get(f"user:{uid}", load)
    await cache.get(f"user:{uid:05d}:{len(user_id)}:{uid + 1}:{-uid}", load)
    await cache.get_many([f"user:{number}" for number in range(9)], load)
    await cache.get("user:" + str(user_id) + f":{uid}-{uid}", load)  # -> TG005 TG008
    await cache.get(f"{key('user', user_id)}:profile", load)
    await cache.get(rf"user:{user_id}\d", load)  # -> TG004 TG005
    await cache.get(f"""user:{
        user_id
    }""", load)  # tidegate: ignore[TG005]


def builders(user_id, parts):
    key("user")  # -> TG002
    key("user", None)  # -> TG013
    key("user", 1.5)  # -> TG013
    key("user", "")  # -> TG013
    key("user", b"x")  # -> TG013
    key("user", "a b", True, 42, user_id)
    key("user", *parts)
    tidegate.key("user")  # -> TG002
    tag("a b")  # -> TG011
    tag("user", user_id)
    tag("user", None)  # -> TG013


class Users:
    store: CacheManager

    def __init__(self, given: CacheManager, names):
        self.made = CacheManager()
        self.given = given
        self.names = {}

    async def load(self, load):
        await self.made.get("flat", load)  # -> TG002
        await self.given.get("flat", load)  # -> TG002
        await self.store.get("flat", load)  # -> TG002
        self.names.get("flat", load)


async def nested(load):
    async with CacheManager() as own:
        await own.get("flat", lambda: cache.get("also flat", load))  # -> TG002 TG004
    if (walrus := cache.tenant("acme")) is not None:
        await walrus.get("flat", load)  # -> TG002


async def long(load):
    await cache.get("user:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", load)  # -> TG010
