"""Uses a store through python-etcd: the output must be the same on real etcd and on ours.

usage: python_etcd.py HOST PORT
"""

import logging
import sys
import threading
import time

import etcd

logging.disable(logging.CRITICAL)
host, port = sys.argv[1], int(sys.argv[2])
client = etcd.Client(host=host, port=port, read_timeout=10)


def show(what, result):
    """Prints a result as one line, without times and addresses."""
    if isinstance(result, etcd.EtcdResult):
        previous = getattr(result, "_prev_node", None)
        result = [
            result.action, result.key, result.value, result.dir, result.newKey,
            result.createdIndex, result.modifiedIndex, result.ttl and result.ttl > 0,
            bool(result.expiration), getattr(result, "etcd_index", None),
            previous and [previous.key, previous.value, previous.modifiedIndex],
        ]
    print(what, "=", repr(result).replace(str(port), "PORT"), flush=True)
    return result


def refused(what, error, call, *args, **kwargs):
    """Checks that the call is refused with this error."""
    try:
        result = call(*args, **kwargs)
    except error as refusal:
        print(what, "refused:", type(refusal).__name__, getattr(refusal, "payload", None), flush=True)
        return
    raise AssertionError("%s gave %r instead of %s" % (what, result, error.__name__))


def later(call, *args, **kwargs):
    """Calls it a moment later, when a watch is open."""
    timer = threading.Timer(0.3, call, args, kwargs)
    timer.daemon = True
    timer.start()
    return timer


def writes():
    show("write", client.write("/py/one", "first"))
    show("write again", client.write("/py/one", "second"))
    show("odd text", client.write("/py/odd key+%", "<a&b> ü\n\u2028"))
    assert client.read("/py/odd key+%").value == "<a&b> ü\n\u2028"
    show("empty", client.write("/py/empty", ""))
    show("get", client.get("/py/one"))
    show("set", client.set("/py/one", "third"))
    result = client.read("/py/one")
    result.value = "fourth"
    show("update", client.update(result))
    refused("stale update", etcd.EtcdCompareFailed, client.update, result)
    assert "/py/one" in client and "/py/none" not in client
    refused("create twice", etcd.EtcdAlreadyExist, client.write, "/py/one", "x", prevExist=False)
    refused("update of nothing", etcd.EtcdKeyNotFound, client.write, "/py/none", "x", prevExist=True)
    refused("below a file", etcd.EtcdNotDir, client.write, "/py/one/two", "x")
    refused("missing", etcd.EtcdKeyNotFound, client.read, "/py/none")
    refused("root", etcd.EtcdRootReadOnly, client.write, "/", "x")


def compares():
    client.write("/cas", "a")
    show("test_and_set", client.test_and_set("/cas", "b", "a"))
    refused("test_and_set", etcd.EtcdCompareFailed, client.test_and_set, "/cas", "c", "a")
    index = client.read("/cas").modifiedIndex
    show("prevIndex", client.write("/cas", "c", prevIndex=index))
    refused("prevIndex", etcd.EtcdCompareFailed, client.write, "/cas", "d", prevIndex=index)
    refused("delete", etcd.EtcdCompareFailed, client.delete, "/cas", prevValue="x")
    show("delete", client.delete("/cas", prevValue="c"))


def times():
    show("ttl", client.write("/ttl", "x", ttl=100))
    show("refresh", client.refresh("/ttl", ttl=200))
    assert 190 < client.read("/ttl").ttl <= 200
    show("permanent", client.write("/ttl", "y", prevExist=True))
    assert client.read("/ttl").ttl is None
    client.write("/short", "x", ttl=1)
    show("expiry", client.watch("/short", timeout=5))
    refused("expired", etcd.EtcdKeyNotFound, client.read, "/short")


def directories():
    show("dir", client.write("/tree/a", None, dir=True))
    refused("dir again", etcd.EtcdNotFile, client.write, "/tree/a", None, dir=True)
    for name in ["b", "a/x", "a/y/z", "_hidden"]:
        client.write("/tree/" + name, name)
    show("children", [child.key for child in client.read("/tree", sorted=True).children])
    show("leaves", [leaf.key for leaf in client.read("/tree", recursive=True, sorted=True).leaves])
    show("subtree", [node.key for node in client.read("/tree", recursive=True, sorted=True).get_subtree()])
    refused("full", etcd.EtcdDirNotEmpty, client.delete, "/tree", dir=True)
    refused("no file", etcd.EtcdNotFile, client.delete, "/tree")
    show("pop", client.pop("/tree/b"))
    show("delete", client.delete("/tree", recursive=True))
    for value in ["1", "2", "3"]:
        show("append", client.write("/queue", value, append=True))
    show("queue", [job.value for job in client.read("/queue", sorted=True).children])


def watches():
    client.write("/watched/a", "0")
    later(client.write, "/watched/a", "1")
    show("watch", client.watch("/watched/a", timeout=5))
    later(client.write, "/watched/b/c", "2")
    show("recursive", client.watch("/watched", recursive=True, timeout=5))
    index = client.read("/watched/a").modifiedIndex
    show("history", client.watch("/watched/a", index=index, timeout=5))
    refused("quiet", etcd.EtcdWatchTimedOut, client.watch, "/watched/a", timeout=1)
    refused("missing", etcd.EtcdException, client.read, "/watched/a", wait=True, waitIndex="x")
    for value in ["3", "4", "5"]:
        client.write("/watched/a", value)
    seen = client.eternal_watch("/watched/a", index=index + 1, recursive=True)
    show("eternal", [next(seen).value for _ in range(3)])
    later(client.delete, "/watched", recursive=True)
    show("eternal delete", next(seen).action)


def locks():
    lock = etcd.Lock(client, "one")
    show("acquire", lock.acquire(blocking=False, lock_ttl=60))
    other = etcd.Lock(etcd.Client(host=host, port=port), "one")
    show("taken", other.acquire(blocking=False))
    show("held", [lock.is_acquired, other.is_acquired])
    later(lock.release)
    show("blocking", other.acquire(blocking=True, timeout=5, lock_ttl=60))
    other.release()
    show("released", other.is_acquired)
    with etcd.Lock(client, "two") as inner:
        show("with", inner.is_acquired)


def cluster():
    show("machines", client.machines)
    show("version", [type(client.version).__name__, "." in client.version])
    show("members", [sorted(member) for member in client.members.values()])
    show("leader", sorted(client.leader))
    assert client.leader["id"] in client.members
    show("stats", sorted(key for key in client.stats if not key.endswith("Rate")))
    show("store_stats", sorted(client.store_stats))
    show("leader_stats", sorted(client.leader_stats))
    moving = etcd.Client(host=((host, port),), allow_reconnect=True, read_timeout=10)
    show("reconnect", moving.read("/py/one").value)


for part in [writes, compares, times, directories, watches, locks, cluster]:
    print("#", part.__name__)
    part()
print("done at", client.read("/").etcd_index)
