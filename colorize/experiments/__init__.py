"""The experiments of the studies as data, and running them."""
