"""Train many small models from one configuration file and compare them."""
