"""The worker fetches and parses; it decides nothing."""

if __name__ != "crawlfleet.worker":
    raise ImportError("`worker` is a folder of the project, not a package of its own: import crawlfleet.worker")
