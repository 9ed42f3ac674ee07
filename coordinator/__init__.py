"""The coordinator decides and remembers: the only side that knows the frontier."""

if __name__ != "crawlfleet.coordinator":
    raise ImportError(
        "`coordinator` is a folder of the project, not a package of its own: import crawlfleet.coordinator"
    )
