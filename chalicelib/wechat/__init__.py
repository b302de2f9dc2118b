"""WeChat's server API and the data that it encrypts."""
