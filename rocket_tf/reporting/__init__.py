"""What a run, or a table of runs, tells people: text, pictures, pages."""
