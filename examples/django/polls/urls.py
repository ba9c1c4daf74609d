"""The URLs."""

from __future__ import annotations

from django.urls import path

from . import views

urlpatterns = [
    path("polls/", views.polls),
    path("polls/<int:poll_id>/", views.results),
    path("polls/<int:poll_id>/vote", views.vote),
    path("polls/<int:poll_id>/rename", views.rename),
    path("top/<str:name>", views.top),
    path("visits", views.visits),
    path("clock", views.clock),
    path("count", views.count),
    path("health", views.health),
]
