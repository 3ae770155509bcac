"""Faults by strace: which system calls a program makes, and one of them failing or being the moment of a kill.

`when=N` of strace counts for each thread: a fault may strike once in every thread of the program.
"""
import collections, contextlib, os, pathlib, re, resource, select, subprocess, tempfile, time

OPEN = ["EIO", "ENOSPC", "EMFILE", "ENFILE", "ENOMEM", "EROFS"]
DISK = ["EIO", "ENOSPC"]
NAMES = ["EIO", "ENOSPC", "EROFS"]
SOCKET = ["ENOMEM", "ENOBUFS", "EINTR"]
PLACES = ["EMFILE", "ENFILE", "ENOMEM"]
# No errors for close: strace fails a call by leaving it out, so the descriptor would stay open, which no kernel does.
# Nor for brk: the kernel tells of its failure by returning the old end of the heap, never an error number, which malloc takes
# for an address beyond what it asked for and so for success; any C program, even one that only calls malloc, then dies of SIGSEGV.
ERRORS = {
    "openat": OPEN, "openat2": OPEN, "creat": OPEN, "memfd_create": PLACES,
    "read": ["EIO", "ENOMEM", "EINTR"], "pread64": ["EIO", "ENOMEM", "EINTR"], "readv": ["EIO"], "preadv2": ["EIO", "ENOMEM", "EINTR"], "getdents64": ["EIO", "ENOMEM"],
    "write": ["EIO", "ENOSPC", "EDQUOT", "EINTR"], "pwrite64": ["EIO", "ENOSPC", "EDQUOT", "EINTR"], "writev": ["EIO", "ENOSPC", "EINTR"],
    "fsync": DISK, "fdatasync": DISK, "syncfs": DISK, "sync_file_range": DISK, "copy_file_range": DISK, "sendfile": DISK,
    "ftruncate": DISK, "fallocate": DISK, "utimensat": NAMES, "fchmod": NAMES, "fchmodat": NAMES, "chmod": NAMES, "umask": [],
    "rename": NAMES, "renameat": NAMES, "renameat2": NAMES, "link": NAMES, "linkat": NAMES, "unlink": NAMES, "unlinkat": NAMES,
    "mkdir": NAMES, "mkdirat": NAMES, "fstat": ["EIO", "ENOMEM"], "newfstatat": ["EIO", "ENOMEM"], "statx": ["EIO", "ENOMEM"],
    "fstatfs": ["EIO"], "statfs": ["EIO"], "flock": ["EINTR", "ENOLCK"], "fcntl": ["EINTR", "EMFILE"], "dup": PLACES,
    "sendto": SOCKET, "sendmsg": SOCKET, "recvfrom": SOCKET, "recvmsg": SOCKET, "shutdown": [], "connect": ["ENOMEM", "ECONNREFUSED", "EINTR"],
    "socket": PLACES, "socketpair": PLACES, "pipe2": PLACES, "bind": ["ENOMEM", "EIO"], "listen": [], "setsockopt": ["ENOBUFS"],
    "getsockname": ["ENOBUFS"], "getpeername": ["ENOBUFS"],
    "accept4": ["EMFILE", "ENFILE", "ENOMEM", "ECONNABORTED", "EINTR"], "accept": ["EMFILE", "ENFILE", "ECONNABORTED"],
    "epoll_create1": PLACES, "epoll_ctl": ["ENOMEM", "ENOSPC"], "epoll_wait": ["EINTR"], "poll": ["EINTR", "ENOMEM"], "ppoll": ["EINTR", "ENOMEM"],
    "eventfd2": PLACES, "inotify_init1": PLACES, "inotify_add_watch": ["ENOSPC", "ENOMEM"], "signalfd4": PLACES, "pidfd_open": PLACES,
    "mmap": ["ENOMEM"], "mprotect": ["ENOMEM"], "mremap": ["ENOMEM"], "brk": [],
    "clone": ["EAGAIN", "ENOMEM"], "clone3": ["EAGAIN", "ENOMEM"], "vfork": ["EAGAIN"], "execve": ["EIO", "ENOMEM"], "wait4": ["EINTR"],
    "waitid": ["EINTR"], "kill": [],
}
# Calls that cannot fail or tell nothing; a kill there is a kill like any other.
DULL = {"exit", "exit_group", "rt_sigreturn", "restart_syscall", "sched_yield", "gettid", "getpid", "clock_gettime", "rt_sigprocmask"}


@contextlib.contextmanager
def traced(pids, *arguments, command=()):
    """strace on running processes, or as the start of a command that the caller runs; yields the file it writes."""
    with tempfile.NamedTemporaryFile("r", prefix="facteur-strace-", errors="replace") as out:
        strace = ["strace", "-f", "-qq", "-s", "0", "-o", out.name, *arguments]
        tracer = subprocess.Popen(strace + [x for pid in pids for x in ("-p", str(pid))], stderr=subprocess.DEVNULL)
        try:
            attached(pids, tracer)
            yield out
        finally:
            tracer.terminate()
            try:
                tracer.wait(5)
            except subprocess.TimeoutExpired:
                # It waits for a process that waits for the child it made by vfork, which waits for strace. The kernel lets go of all.
                tracer.kill()
                tracer.wait()


def attached(pids, tracer):
    end = time.monotonic() + 5
    while time.monotonic() < end and tracer.poll() is None:
        if all(is_traced(task) for pid in pids for task in tasks(pid)):
            return
        select.select([], [], [], 0.005)


def tasks(pid):
    with contextlib.suppress(OSError):
        return [pathlib.Path(f"/proc/{pid}/task/{task}/status") for task in os.listdir(f"/proc/{pid}/task")]
    return []


def is_traced(status):
    try:
        return "TracerPid:\t0\n" not in status.read_text()
    except OSError:
        return True


def seen(out, pids=None):
    """How often each call was made by the thread that made it most; only of new processes if `pids` are to be left out."""
    counts = collections.defaultdict(collections.Counter)
    out.seek(0)
    for line in out:
        if found := re.match(r"(\d+) +(\w+)\(", line):
            if int(found[1]) not in (pids or ()):
                counts[found[2]][found[1]] += 1
    return {call: max(threads.values()) for call, threads in counts.items() if call not in DULL}


def struck(out):
    out.seek(0)
    return any("(INJECTED)" in line or "killed by SIGKILL" in line for line in out)


def faults(calls):
    """All faults for what was seen: (call, fault, which time). A program that does something often does it alike."""
    for call, count in sorted(calls.items()):
        times = [n for n in (1, 2, 3, 4, 6, 9, 14, 22, 35) if n <= count] + [count] * (count not in (1, 2, 3, 4, 6, 9, 14, 22, 35))
        for when in times:
            yield from ((call, f"error={error}", when) for error in ERRORS.get(call, []))
            yield call, "signal=KILL", when


def options(call, fault, when, only=None):
    """For strace; `only`: on this file."""
    return ["-e", f"trace={call}", "-e", f"inject={call}:{fault}:when={when}", *(["-P", str(only)] if only else [])]


@contextlib.contextmanager
def short_writes(pids, octets):
    """Files cannot grow beyond so many octets: the write that gets there is short, the next one fails or kills (SIGXFSZ)."""
    before = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            before[pid] = resource.prlimit(pid, resource.RLIMIT_FSIZE, (octets, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        for pid, limit in before.items():
            with contextlib.suppress(OSError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
