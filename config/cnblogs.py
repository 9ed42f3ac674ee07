"""The hook of cnblogs_hook.yaml: address and text of every post on a listing page."""


def parse(page):
    """Yield one row for each post; `item` names its kind."""
    for link in page.soup.find_all("a", class_="post-item-title"):
        yield {"item": "post", "address": link["href"], "text": " ".join(link.get_text().split())}
