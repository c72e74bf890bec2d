"""What the project's choices rest on: measurements that are read once, not speed."""
