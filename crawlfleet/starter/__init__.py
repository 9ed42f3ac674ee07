"""The starter job that `crawlfleet init` makes of a page: what repeats, what fields there are, and the text in YAML."""
