"""What the page of `explain` is made of: held-out rows, attributions, label errors, charts, and the page itself."""
