"""HTML pages, charts and cards."""
