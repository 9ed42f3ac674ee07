"""Extracts values from bytes: links, items by rules, and a hook's rows. Pure except for the hook."""
