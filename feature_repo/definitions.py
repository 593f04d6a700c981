"""What ``feast apply`` reads: every entity, view and feature service of the domain in use.

Feast collects the objects that it finds in a module's name space. It imports the files of a repo by their
path (``chat.entities``) while they import one another by their package (``feature_repo.chat.entities``);
taken from here, each object exists once.
"""

from feature_repo.catalog import feast_objects

globals().update(feast_objects())
