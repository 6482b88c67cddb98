"""On which file system a file lies, as Linux tells it, and what is known of those that hold no store."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

NETWORK = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "drvfs", "fuse.blobfuse", "fuse.blobfuse2", "fuse.ceph",
    "fuse.curlftpfs", "fuse.davfs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.goofys", "fuse.grpcfuse", "fuse.juicefs",
    "fuse.mount-s3", "fuse.osxfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "fuse.vmhgfs-fuse", "gfs2", "gpfs",
    "lustre", "ncp", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "prl_fs", "smb", "smb2", "smb3", "smbfs", "vboxsf",
    "vmhgfs",
})  # fmt: skip
"""Another machine may have the same file open. SQLite's readers and writers of a WAL share memory, which machines
can't, and some of these keep no locks at all: the file is damaged sooner or later."""

MEMORY = frozenset({"tmpfs", "ramfs", "rootfs", "hugetlbfs"})
"""Gone when the machine goes."""

LOCAL = frozenset({
    "apfs", "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "nilfs2", "overlay", "reiserfs", "ufs", "xfs",
    "zfs",
})  # fmt: skip
"""Keep locks, share memory, and flush what they are told to."""

UNFLUSHED = frozenset({"volatile", "fsync=volatile", "nobarrier", "barrier=0"})
"""Options of a mount by which what was flushed is not on the disk; kernels of 2026 write the first as the second."""


class FileSystem(NamedTuple):
    """Where a file lies: the kind of file system, where that is mounted, and with which options."""

    kind: str
    mounted_at: str
    options: frozenset[str]
    mount_id: int


def file_system_of(path: str) -> FileSystem | None:
    """The file system on which a file, a folder, or what would come to be there, lies; None where nobody tells, as
    outside of Linux."""
    while not os.path.exists(path):
        above = os.path.dirname(path)
        if above == path:
            return None
        path = above or "."
    try:
        file = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            mount_id = _mount_id(file)
        finally:
            os.close(file)
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
            return find_mount(mounts.read(), mount_id)
    except (OSError, AttributeError, ValueError):
        return None


def _mount_id(file: int) -> int:
    """What is mounted where may be mounted over: only the file itself knows to which mount it belongs."""
    with open(f"/proc/self/fdinfo/{file}", encoding="ascii") as facts:
        for line in facts:
            name, _, value = line.partition(":")
            if name == "mnt_id":
                return int(value)
    raise ValueError("a kernel that does not tell mounts")


def find_mount(mountinfo: str, mount_id: int) -> FileSystem | None:
    """The mount of that id, in the words of `proc_pid_mountinfo(5)`."""
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        if fields[0] == str(mount_id) and "-" in fields:
            kind, _, super_options = fields[fields.index("-") + 1 :][:3]
            options = frozenset((fields[5] + "," + super_options).split(","))
            return FileSystem(kind, _unescaped(fields[4]), options, mount_id)
    return None


def _unescaped(text: str) -> str:
    """Spaces and their like are written as `\\040`."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
