"""Pictures and tables of what a model or a provider attends to."""
