"""A training run or a comparison as one offline page."""
