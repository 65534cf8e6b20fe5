"""`python -m summexp`, for whoever has not the `summexp` of this environment on the path."""

from summexp.cli import main

if __name__ == "__main__":
    main()
