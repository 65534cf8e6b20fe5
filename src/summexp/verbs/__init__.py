"""The verbs of the `summexp` command; each module runs one of them."""
