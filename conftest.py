"""Puts the checkout on the path of the tests, so that they can import `tests.site`."""
