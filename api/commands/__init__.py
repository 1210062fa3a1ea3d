"""Commands of `headend`: one file a noun, each a thin way to what the routes and desks do."""
