"""L11: the command line. Each file parses one command, makes one library call and prints the answer."""
