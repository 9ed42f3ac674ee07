"""The store in an SQLite file of the crawl's folder."""
