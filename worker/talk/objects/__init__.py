"""The fleet's named objects as programs and hooks use them: proxies in the manner of `multiprocessing.managers`."""
