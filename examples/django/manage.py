"""`python -m examples.django.manage check`, `migrate`, `runserver`, from the top of the repository."""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "examples.django.polls.settings")
    execute_from_command_line(sys.argv)
