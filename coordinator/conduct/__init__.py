"""The conduct of one crawl: members, exchanges, turns, and the one thread that owns them."""
