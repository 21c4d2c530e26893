"""Attempts of an action to escape from its sandbox, each in a function of its own.

The file is the source of a plugin's module: it needs only the standard library. An attempt that succeeds returns
normally; the test also checks what it made or changed outside.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import resource
import signal
import socket
import stat
import struct
import subprocess
import sys
import termios
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
X86 = platform.machine() == "x86_64"


def checked(value):
    if value < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return value


def call(number, *arguments):
    """Make a system call by its numbers on x86-64 and AArch64."""
    number = number if isinstance(number, int) else number[0 if X86 else 1]
    return checked(libc.syscall(number, *arguments))


class Files:
    """Access to files elsewhere. `self.file` exists, in `self.folder`."""

    def __init__(self, outside, **_):
        self.folder, self.file = outside, outside + "/file"

    def write(self):
        Path(self.file).write_text("changed")

    def append(self):
        open(self.file, "a").close()

    def create(self):
        Path(self.folder, "new").touch(exist_ok=False)

    def through_the_root_of_a_process(self):
        Path("/proc/self/root" + self.folder, "new").touch(exist_ok=False)

    def through_the_root_of_the_first_process(self):
        Path("/proc/1/root" + self.folder, "new").touch(exist_ok=False)

    def through_the_root_of_the_zygote(self):
        Path(f"/proc/{os.getppid()}/root" + self.folder, "new").touch(exist_ok=False)

    def through_a_symbolic_link(self):
        os.symlink(self.file, "link")
        Path("link").write_text("changed")

    def through_a_hard_link(self):
        os.link(self.file, "hard")
        Path("hard").write_text("changed")

    def through_a_descriptor_opened_again(self):
        descriptor = os.open(self.file, os.O_RDONLY)
        os.write(os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY), b"changed")

    def through_a_path_descriptor(self):
        folder = os.open(self.folder, os.O_PATH)
        os.close(os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=folder))

    def through_a_shared_mapping(self):
        import mmap

        with open(self.file, "rb") as file:
            mmap.mmap(file.fileno(), 1, prot=mmap.PROT_WRITE, flags=mmap.MAP_SHARED)[0] = 1

    def by_an_unnamed_file(self):
        descriptor = os.open(self.folder, os.O_TMPFILE | os.O_WRONLY)
        os.link(f"/proc/self/fd/{descriptor}", self.folder + "/new", follow_symlinks=True)

    def by_moving_it_away(self):
        os.rename(self.file, "moved")

    def by_moving_one_there(self):
        Path("mine").touch()
        os.rename("mine", self.file)

    def by_exchanging_them(self):
        Path("mine").touch()
        call((316, 276), -100, b"mine", -100, self.file.encode(), 2)

    def by_a_handle(self):
        handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
        mount = ctypes.c_int()
        checked(libc.name_to_handle_at(-100, self.file.encode(), handle, ctypes.byref(mount), 0))
        call((304, 265), os.open("/", os.O_RDONLY), handle, os.O_WRONLY)

    def truncate(self):
        os.truncate(self.file, 0)

    def truncate_a_descriptor(self):
        os.ftruncate(os.open(self.file, os.O_RDONLY), 0)

    def remove(self):
        os.unlink(self.file)

    def make_a_block_device(self):
        os.mknod("disk", 0o600 | stat.S_IFBLK, os.makedev(254, 0))
        os.open("disk", os.O_WRONLY)

    def write_to_memory(self):
        os.open("/dev/mem", os.O_WRONLY)

    def write_to_the_kernels_log(self):
        os.write(os.open("/dev/kmsg", os.O_WRONLY), b"x")

    def write_to_the_disk(self):
        disks = [name for name in os.listdir("/sys/block") if os.path.exists(f"/dev/{name}")]
        if not disks:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        os.open(f"/dev/{disks[0]}", os.O_WRONLY)

    def change_the_environment(self):
        Path(sys.prefix, "new").touch(exist_ok=False)

    def change_its_own_source(self):
        Path(__file__).open("a").close()

    def change_the_kernels_settings(self):
        Path("/proc/sys/kernel/core_pattern").open("w").close()

    def pull_the_trigger(self):
        Path("/proc/sysrq-trigger").open("w").close()

    def change_a_device_in_sys(self):
        Path("/sys/kernel/uevent_helper").open("w").close()

    def make_a_cgroup(self):
        places = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*")]
        for place in places:
            (place / "escape").mkdir()


class Attributes:
    """Changes to the attributes of files elsewhere."""

    def __init__(self, outside, **_):
        self.file = outside + "/file"

    def mode(self):
        os.chmod(self.file, 0o777)

    def owner(self):
        os.chown(self.file, os.getuid(), os.getgid())

    def times(self):
        os.utime(self.file, (1, 1))

    def attribute(self):
        os.setxattr(self.file, "user.mine", b"x")


class Mounts:
    """Changes to the view of the file system."""

    def __init__(self, outside, **_):
        self.folder = outside.encode()

    def memory(self):
        checked(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None))

    def bind(self):
        checked(libc.mount(self.folder, b"/tmp", None, 0x1000, None))

    def remount(self):
        checked(libc.mount(None, b"/", None, 0x20 | 0x1000, None))

    def processes(self):
        checked(libc.mount(b"proc", b"/proc", b"proc", 0, None))

    def unmount_tmp(self):
        checked(libc.umount2(b"/tmp", 2))

    def unmount_shared_memory(self):
        checked(libc.umount2(b"/dev/shm", 2))

    def unmount_home(self):
        checked(libc.umount2(os.environ["HOME"].encode(), 2))

    def pivot(self):
        call((155, 41), b".", b".")

    def change_root(self):
        os.chroot(".")

    def copy_a_tree(self):
        call(428, -100, b"/", 1)

    def move_a_mount(self):
        call(429, -100, b"/proc", -100, b"/tmp", 0)

    def open_a_file_system(self):
        call(430, b"tmpfs", 0)

    def change_attributes(self):
        call(442, -100, b"/", 0, struct.pack("QQQQ", 0, 1, 0, 0), 32)


class Namespaces:
    """Entering new or existing namespaces."""

    def __init__(self, **_):
        pass

    def user(self):
        checked(libc.unshare(0x1000_0000))

    def user_and_mounts(self):
        checked(libc.unshare(0x1002_0000))

    def mounts(self):
        checked(libc.unshare(0x0002_0000))

    def network(self):
        checked(libc.unshare(0x4000_0000))

    def processes(self):
        checked(libc.unshare(0x2000_0000))

    def by_clone(self):
        pid = call((56, 220), 0x1000_0000 | signal.SIGCHLD, 0, 0, 0, 0)
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)

    def by_clone3(self):
        arguments = struct.pack("QQQQQQQQ", 0x1000_0000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
        pid = call(435, arguments, len(arguments))
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)

    def of_the_first_process(self):
        checked(libc.setns(os.open("/proc/1/ns/mnt", os.O_RDONLY), 0))

    def of_the_zygote(self):
        checked(libc.setns(os.open(f"/proc/{os.getppid()}/ns/user", os.O_RDONLY), 0))

    def of_the_zygote_by_its_process(self):
        checked(libc.setns(call(434, os.getppid(), 0), 0x1002_0000))


class Processes:
    """What processes of one user can do to each other: to zygote, keeper, agent, and processes that wait for a run."""

    def __init__(self, agent, **_):
        zygote = os.getppid()
        if os.readlink("/proc/self") == str(os.getpid()):
            keeper = int(Path(f"/proc/{zygote}/stat").read_text().rpartition(")")[2].split()[1])
            siblings = map(int, Path(f"/proc/{zygote}/task/{zygote}/children").read_text().split())
        else:  # the machine's `/proc`, in a PID namespace
            keeper, siblings = 1, {*range(3, 30)} - {int(os.readlink("/proc/self"))}
        self.others = [zygote, keeper, agent, *(pid for pid in siblings if pid != os.getpid())]

    def _each(self, way):
        """Try a function on each process; succeed if it works on any of them."""
        refusals = []
        for pid in self.others:
            try:
                way(pid)
            except OSError as refusal:
                refusals.append(refusal)
            else:
                return
        raise next((r for r in refusals if r.errno != errno.ESRCH), refusals[0])

    def signal(self):
        self._each(lambda pid: os.kill(pid, 0))

    def kill(self):
        self._each(lambda pid: os.kill(pid, signal.SIGKILL))

    def freeze(self):
        self._each(lambda pid: os.kill(pid, signal.SIGSTOP))

    def kill_a_thread(self):
        self._each(lambda pid: call((234, 131), pid, pid, signal.SIGKILL))

    def kill_by_a_descriptor(self):
        self._each(lambda pid: call(424, call(434, pid, 0), signal.SIGKILL, 0, 0))

    def limit_files(self):
        self._each(lambda pid: resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, 3)))

    def limit_time(self):
        self._each(lambda pid: resource.prlimit(pid, resource.RLIMIT_CPU, (1, 1)))

    def priority(self):
        self._each(lambda pid: os.setpriority(os.PRIO_PROCESS, pid, 19))

    def priority_of_the_user(self):
        os.setpriority(os.PRIO_USER, 0, 19)

    def scheduler(self):
        self._each(lambda pid: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0)))

    def io_priority(self):
        self._each(lambda pid: call((251, 30), 1, pid, 3 << 13))

    def io_priority_of_the_user(self):
        call((251, 30), 3, os.getuid(), 3 << 13)

    def trace(self):
        self._each(lambda pid: call((101, 117), 16, pid, 0, 0))

    def seize(self):
        self._each(lambda pid: call((101, 117), 0x4206, pid, 0, 0))

    def read_memory(self):
        buffer = ctypes.create_string_buffer(8)
        vector = struct.pack("PN", ctypes.addressof(buffer), 8)
        self._each(lambda pid: call((310, 270), pid, vector, 1, vector, 1, 0))

    def open_memory(self):
        self._each(lambda pid: open(f"/proc/{pid}/mem", "r+b").close())

    def read_environment(self):
        self._each(lambda pid: open(f"/proc/{pid}/environ", "rb").close())

    def see_where_descriptors_lead(self):
        self._each(lambda pid: os.readlink(f"/proc/{pid}/fd/0"))

    def open_a_descriptor(self):
        self._each(lambda pid: open(f"/proc/{pid}/fd/2", "wb").close())

    def take_a_descriptor(self):
        self._each(lambda pid: call(438, call(434, pid, 0), 0, 0))

    def compare_files(self):
        self._each(lambda pid: call((312, 272), os.getpid(), pid, 0, 0, 0))

    def save_oneself_from_the_oom_killer(self):
        Path("/proc/self/oom_score_adj").write_text("-1000")


class Rights:
    """Rights that an action must not gain."""

    def __init__(self, **_):
        pass

    def another_user(self):
        os.setuid(12345)
        if os.getuid() != 12345:
            raise OSError(errno.EPERM, "")

    def groups(self):
        os.setgroups([0])

    def a_setuid_program(self):
        answer = subprocess.run(["/bin/su", "-c", "id -u", "nobody"], capture_output=True, stdin=subprocess.DEVNULL)
        if answer.returncode:
            raise OSError(errno.EPERM, answer.stderr.decode())

    def raise_a_limit(self):
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        try:
            resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
        except ValueError as error:
            raise OSError(errno.EPERM, str(error)) from error

    def a_raw_socket(self):
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)

    def a_packet_socket(self):
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))

    def the_hypervisor(self):
        socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)

    def type_on_a_terminal(self):
        master, slave = os.openpty() if os.access("/dev/ptmx", os.W_OK) else (0, 0)
        fcntl.ioctl(slave, termios.TIOCSTI, b"x")

    def the_clock(self):
        import time

        time.clock_settime(time.CLOCK_REALTIME, time.time())

    def the_hosts_name(self):
        socket.sethostname("escaped")


class Kernel:
    """Parts of the kernel that belong to the user, or that attacks often use."""

    def __init__(self, **_):
        pass

    def io_uring(self):
        call(425, 4, ctypes.create_string_buffer(120))

    def bpf(self):
        call((321, 280), 0, struct.pack("IIIIII", 2, 4, 4, 1, 0, 0), 24)

    def perf(self):
        call((298, 241), struct.pack("II", 1, 112) + bytes(104), 0, -1, -1, 0)

    def userfaultfd(self):
        call((323, 282), 1)

    def keyring(self):
        call((250, 219), 0, -4, 1)

    def add_a_key(self):
        call((248, 217), b"user", b"escape", b"x", 1, -4)

    def ask_for_a_key(self):
        call((249, 218), b"user", b"escape", None, -4)

    def load_a_module(self):
        call((313, 273), os.open("/dev/null", os.O_RDONLY), b"", 0)

    def watch_all_files(self):
        call((300, 262), 0, 0)

    def the_kernels_log(self):
        call((103, 116), 3, ctypes.create_string_buffer(10), 10)

    def kexec(self):
        call((246, 104), 0, 0, None, 0)


class Ipc:
    """What a run could leave for the next one, or find of others."""

    def __init__(self, abstract, **_):
        self.abstract = bytes.fromhex(abstract)

    def an_abstract_socket(self):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.abstract)


KINDS = [Files, Attributes, Mounts, Namespaces, Processes, Rights, Kernel, Ipc]


def act(**where):
    """Try everything, and return for each attempt `done` or its error."""
    os.chdir(os.environ["HOME"])
    outcomes = {}
    for kind in KINDS:
        attempts = kind(**where)
        for name in [name for name in vars(kind) if not name.startswith("_")]:
            outcomes[f"{kind.__name__}.{name}"] = outcome(getattr(attempts, name))
    return outcomes


def outcome(attempt):
    try:
        attempt()
    except OSError as error:
        return os.strerror(error.errno) if error.errno else str(error)
    except ImportError as error:
        return str(error)
    return "done"
