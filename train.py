"""Fine-tune, evaluate and predict: `python train.py model=t5_small data=cnn_dailymail`.

It composes the config from `conf/` with Hydra, checks it, and runs data, model, engine, metrics and
reports. `summexp train` of the installed package is the same.
"""

from summexp.distributed.signals import end_at_once_on_interrupt

if __name__ == "__main__":
    end_at_once_on_interrupt()
    # The import takes a moment.
    from summexp.entry import main

    main()
