"""`crawlfleet run`: a coordinator and a node on this machine."""
