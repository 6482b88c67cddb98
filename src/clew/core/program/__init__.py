"""What a program is: its model, how it is read, what its strings may refer to."""
