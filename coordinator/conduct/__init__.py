"""How one crawl is conducted: members, exchanges, turns, and the loop, in which one thread at a time owns them."""
