"""For uvicorn and its like."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

from tidegate.contrib.django import with_lifespan

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "examples.django.polls.settings")
application = with_lifespan(get_asgi_application())
