"""Reports on a run or a table of runs: text, pictures, pages."""
