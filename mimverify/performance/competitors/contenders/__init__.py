"""What our steps are compared with, one file each, which the registry finds: it is in no list."""
