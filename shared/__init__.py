"""The contract between coordinator and worker: messages, addresses, scope, the wire. No I/O except the wire."""

if __name__ != "crawlfleet.shared":
    raise ImportError("`shared` is a folder of the project, not a package of its own: import crawlfleet.shared")
