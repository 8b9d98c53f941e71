"""What `decide` is made of; all of it pure."""
