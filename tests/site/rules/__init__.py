"""Rules of HTTP, HTML and URLs, as tables: what a page answers, and what a crawl has to make of it."""
