"""The experiment: several kinds of attention side by side, over several seeds."""
