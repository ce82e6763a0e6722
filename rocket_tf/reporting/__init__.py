"""Reports on a run or on a table of runs: text, pictures, pages."""
