"""What holds for a whole process in each library: settings, threads. One file each, in no list."""
