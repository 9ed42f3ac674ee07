"""The durable store over a PostgreSQL database: a schema of its own for each crawl."""
