"""Bytes in, values out: links, items by rules, and what the job's hook adds. Pure but for the hook."""
