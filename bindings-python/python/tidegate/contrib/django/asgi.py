"""For an `asgi.py`: the async managers' life."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ._managers import aclose

Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Callable[..., Any], Callable[..., Any]], Awaitable[None]]


def with_lifespan(application: Application) -> Application:
    """The application, which Django's knows nothing of: at its end refreshes are awaited and managers closed.

    application = with_lifespan(get_asgi_application())
    """

    async def run(scope: Scope, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        if scope["type"] != "lifespan":
            await application(scope, receive, send)
            return
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                await aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return

    return run
