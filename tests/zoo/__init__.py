"""Models that others wrote, measured as their users would: random weights, tiny sizes, nothing downloaded."""
