"""What a person sees: pictures, tables, and the line of a run."""
