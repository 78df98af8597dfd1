"""The pages of wgf-report: elements, charts, and what a page of a run or of a sweep holds."""
