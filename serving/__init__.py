"""Recommendations over HTTP: what is declared in the feature repo, ranked by what training promoted."""
