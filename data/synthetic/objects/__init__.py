"""What a scene may hold: one drawing of each kind."""
