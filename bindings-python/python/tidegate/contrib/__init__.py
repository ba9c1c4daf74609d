"""tidegate in frameworks: `tidegate.contrib.fastapi`, `.django`, `.flask`, `.celery`. Each imports its own only."""
