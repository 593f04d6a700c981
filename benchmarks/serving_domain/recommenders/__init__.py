"""The recommender."""
