"""Entry point of `summexp` and `python -m summexp`."""

from summexp.distributed.signals import end_at_once_on_interrupt


def main() -> None:
    """Run the command line of this process."""
    end_at_once_on_interrupt()
    # The import takes a moment.
    from summexp.cli import main as run

    run()


if __name__ == "__main__":
    main()
