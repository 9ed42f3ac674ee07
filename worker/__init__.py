"""Fetches and parses; decides nothing."""
