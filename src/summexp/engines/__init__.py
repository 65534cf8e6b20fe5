"""Training loops behind one protocol, and the loss and evaluation that they share."""
