"""What needs a socket: our connections under the libraries that use them."""
