"""A domain of the benchmark's own: one recommender of 500 candidates and 30 features in three views."""
