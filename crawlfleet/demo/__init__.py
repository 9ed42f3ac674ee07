"""The bundled demo site: `python -m crawlfleet.demo`."""
