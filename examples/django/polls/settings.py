"""The settings; what is of tidegate is `CACHES`, one app, and the sessions' engine."""

from __future__ import annotations

import os

SECRET_KEY = os.environ.get("POLLS_SECRET", "for this example only")
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]
ROOT_URLCONF = "examples.django.polls.urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.sessions",
    "tidegate.contrib.django",  # `manage.py check` looks at CACHES
    "examples.django.polls.apps.PollsConfig",
]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware"]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("POLLS_DATABASE", "polls.db"),
        "OPTIONS": {"timeout": 30},
    }
}

CACHES = {
    "default": {
        "BACKEND": "tidegate.contrib.django.TidegateCache",
        "LOCATION": os.environ.get("REDIS_URL", "memory://"),
        "TIMEOUT": 300,
        "OPTIONS": {
            "service": "polls",
            "stale_if_error": "1h",
            "command_timeout": os.environ.get("POLLS_COMMAND_TIMEOUT", "100ms"),
        },
    }
}
# With Redis away a session of this engine is gone; `cached_db` keeps it in the database too.
SESSION_ENGINE = "django.contrib.sessions.backends.cache"
