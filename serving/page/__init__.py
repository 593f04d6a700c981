"""The page at ``/``: a person looks at what the service would answer."""

from serving.page.app import page

__all__ = ["page"]
