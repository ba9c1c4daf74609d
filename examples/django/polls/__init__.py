"""Polls in Django, on SQLite, with tidegate as its cache: pages, sessions, counters, changes of models.

    python -m examples.django.manage migrate
    REDIS_URL=redis://localhost:6379/0 gunicorn examples.django.polls.wsgi
    REDIS_URL=redis://localhost:6379/0 uvicorn examples.django.polls.asgi:application

`tests/frameworks/test_django.py` drives both over HTTP.
"""
