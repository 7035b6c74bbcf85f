"""Jobs for the runners of jobs, which import this file: rq by name, celery as an application."""

import os

import celery

url = os.environ["SERVER"]
app = celery.Celery("jobs", broker=url, backend=url)
app.conf.update(broker_connection_retry_on_startup=True, task_acks_late=True)


def square(number):
    return number * number


def fails():
    raise ValueError("on purpose")


@app.task
def add(a, b):
    return a + b


@app.task
def total(numbers):
    return sum(numbers)


@app.task(bind=True, max_retries=3)
def third_time(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.1)
    return self.request.retries
