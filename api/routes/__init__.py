"""Routes: one file a noun, each route a translation between the wire and a desk."""
