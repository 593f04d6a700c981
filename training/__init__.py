"""From as-of joins to a promoted model: datasets, rankers, evaluation, the model store."""
