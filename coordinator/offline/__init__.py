"""What can be told of a crawl from outside: proof, audit, export. Nothing here changes a crawl."""
