"""Pictures of sections with regions drawn on them."""
