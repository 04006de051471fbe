"""From rows to scores: what the cache lacks is packed, asked for, checked and kept."""
