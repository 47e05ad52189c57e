"""To be said in three sentences."""
