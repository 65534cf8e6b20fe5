"""Fine-tune, evaluate and predict: `python train.py model=t5_small data=cnn_dailymail`.

The whole way: compose the config from `conf/` (Hydra), check it, then data, model, engine, metrics
and the run folder. `summexp train` is the same for whoever installed the wheel.
"""

from summexp.distributed.signals import end_at_once_on_interrupt

if __name__ == "__main__":
    end_at_once_on_interrupt()
    # Takes a moment, in which Ctrl-C may come.
    from summexp.entry import main

    main()
