"""The documentation site: what `mkdocs.yml` does not say by itself."""
