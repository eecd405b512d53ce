"""Native engines in processes of their own: they sample while the trainer learns."""
