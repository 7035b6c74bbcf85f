"""What programs build on a server: job runners, a queue on a stream, locks, limits, a board.

Usage: queues.py rq|celery|recipes. SERVER is a redis:// address, and empty.
"""

import os
import subprocess
import sys
import threading
import time
from datetime import timedelta

import redis

url = os.environ["SERVER"]
server = redis.Redis.from_url(url, decode_responses=True)


def rq():
    from rq import Queue, Retry

    import jobs

    queue = Queue("work", connection=redis.Redis.from_url(url))
    squares = [queue.enqueue(jobs.square, n) for n in range(30)]
    follows = queue.enqueue(jobs.square, 7, depends_on=squares[-1])
    broken = queue.enqueue(jobs.fails, retry=Retry(max=2))
    queue.enqueue_in(timedelta(seconds=1), jobs.square, 99, job_id="later")
    worker = ["-m", "rq.cli", "worker", "--url", url, "--burst", "--with-scheduler", "work"]
    subprocess.run([sys.executable, *worker], check=True, timeout=60)
    assert [job.return_value(refresh=True) for job in squares] == [n * n for n in range(30)]
    assert follows.return_value(refresh=True) == 49
    assert broken.get_status(refresh=True) == "failed" and broken.id in queue.failed_job_registry
    assert queue.count == 0 and len(queue.finished_job_registry) >= 31
    later = queue.fetch_job("later")
    assert later is not None and later.get_status() in ("scheduled", "queued", "finished")


def celery():
    from celery import chain, chord, group

    import jobs

    command = ["-m", "celery", "-A", "jobs", "worker", "--pool", "threads", "--concurrency", "4"]
    worker = subprocess.Popen([sys.executable, *command, "--loglevel", "warning"])
    try:
        many = group(jobs.add.s(n, n) for n in range(40)).apply_async()
        assert many.get(timeout=60) == [2 * n for n in range(40)]
        in_turn = chain(jobs.add.s(1, 2), jobs.add.s(3), jobs.add.s(4)).apply_async()
        assert in_turn.get(timeout=30) == 10
        joined = chord(jobs.add.s(n, 1) for n in range(20))(jobs.total.s())
        assert joined.get(timeout=30) == sum(n + 1 for n in range(20))
        assert jobs.third_time.delay().get(timeout=30) == 2
        delayed = jobs.add.apply_async((20, 3), countdown=1)
        assert delayed.get(timeout=30) == 23
        assert jobs.app.control.ping(timeout=5), "a worker answers over pub/sub"
    finally:
        worker.terminate()
        worker.wait(timeout=30)


def recipes():
    on_a_stream()
    locks()
    limits()
    board()


def on_a_stream():
    """Every entry is worked on, also those of a worker that died with them."""
    server.xgroup_create("orders", "workers", id="0", mkstream=True)
    expected = {server.xadd("orders", {"n": n}) for n in range(200)}
    taken = server.xreadgroup("workers", "dead", {"orders": ">"}, count=20)
    assert len(taken[0][1]) == 20
    done, lock = set(), threading.Lock()

    def work(name):
        own = redis.Redis.from_url(url, decode_responses=True)
        while True:
            got = own.xreadgroup("workers", name, {"orders": ">"}, count=7, block=300)
            if not got:
                return
            ids = [entry for entry, _ in got[0][1]]
            own.xack("orders", "workers", *ids)
            with lock:
                assert not done.intersection(ids)
                done.update(ids)

    workers = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
    start = "0-0"
    while start != "0-0" or len(done) < 200:
        start, entries, _ = server.xautoclaim("orders", "workers", "w0", 0, start, count=7)
        ids = [entry for entry, _ in entries]
        if ids:
            server.xack("orders", "workers", *ids)
            done.update(ids)
    assert done == expected and server.xpending("orders", "workers")["pending"] == 0


def locks():
    """One at a time, and a lock that is not released ends by itself."""
    inside, most = [0], [0]

    def enter():
        own = redis.Redis.from_url(url)
        for _ in range(10):
            with own.lock("door", timeout=5, sleep=0.001):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.001)
                inside[0] -= 1

    people = [threading.Thread(target=enter) for _ in range(5)]
    [one.start() for one in people]
    [one.join() for one in people]
    assert most[0] == 1, most
    left = server.lock("left", timeout=0.3)
    assert left.acquire() and not server.lock("left").acquire(blocking=False)
    assert left.extend(0.2) and server.lock("left", timeout=1).acquire(blocking_timeout=5)
    try:
        left.release()
        raise SystemExit("released a lock that another one holds")
    except redis.exceptions.LockNotOwnedError:
        pass


def limits():
    """Five requests in a window, decided by one script."""
    script = server.register_script(
        """
        local now = redis.call('TIME')
        local micros = now[1] * 1000000 + now[2]
        redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', micros - ARGV[1] * 1000)
        if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
        redis.call('ZADD', KEYS[1], micros, micros .. ':' .. redis.call('INCR', KEYS[1] .. ':n'))
        redis.call('PEXPIRE', KEYS[1], ARGV[1])
        return 1
        """
    )
    allowed = [script(keys=["limit:me"], args=[60000, 5]) for _ in range(20)]
    assert allowed == [1] * 5 + [0] * 15


def board():
    """A leaderboard, its pages, and the place of one player."""
    server.zadd("board", {f"player:{n}": n % 100 for n in range(1000)})
    server.zincrby("board", 1000, "player:7")
    assert server.zrevrank("board", "player:7") == 0
    best = server.zrange("board", 0, 9, desc=True, withscores=True)
    assert best[0] == ("player:7", 1007) and len(best) == 10
    assert server.zcount("board", 99, "+inf") == 11


{"rq": rq, "celery": celery, "recipes": recipes}[sys.argv[1]]()
print("fine")
