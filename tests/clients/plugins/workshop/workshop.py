"""The actions that every client runs."""

import time


def echo(value):
    return value


def count(context, to):
    for number in range(1, to + 1):
        print("counted", number)
        context.set_progress(number, to)
    return {"counted": to}


def wait(seconds):
    time.sleep(seconds)
