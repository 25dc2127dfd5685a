"""Enhancement networks and their trainers: batches of pairs in, enhanced images out."""
