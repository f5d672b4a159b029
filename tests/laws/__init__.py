"""Laws that hold for whatever is handed in: hypothesis looks for what breaks them."""
