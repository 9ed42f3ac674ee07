"""How one crawl is conducted: members, exchanges, turns, and the one thread that owns them."""
