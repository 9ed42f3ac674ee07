"""What can be learned about a crawl from outside: proof, audit, export. Nothing here changes a crawl."""
