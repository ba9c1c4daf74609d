"""Two tables, and a few polls."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models


def fill(apps: Any, schema_editor: Any) -> None:
    """Three polls of two choices."""
    question, choice = apps.get_model("polls", "Question"), apps.get_model("polls", "Choice")
    for number in range(1, 4):
        made = question.objects.create(text=f"poll {number}")
        for text in ("yes", "no"):
            choice.objects.create(question=made, text=text)


class Migration(migrations.Migration):
    """The first."""

    initial = True
    operations = [  # noqa: RUF012 - Django's way
        migrations.CreateModel(
            name="Question",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("text", models.CharField(max_length=200)),
            ],
        ),
        migrations.CreateModel(
            name="Choice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("text", models.CharField(max_length=200)),
                ("votes", models.IntegerField(default=0)),
                (
                    "question",
                    models.ForeignKey(on_delete=models.CASCADE, related_name="choices", to="polls.question"),
                ),
            ],
        ),
        migrations.RunPython(fill),
    ]
