"""Where work is carried out: processes of this machine, or whatever a plugin knows."""
