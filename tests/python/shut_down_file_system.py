"""Cuts the power of a file system: after a line on standard input, ioctl FS_IOC_SHUTDOWN on it.

Usage: shut_down_file_system.py MOUNT_POINT FLAG

FLAG 1 writes the file system's own log before (metadata without data), 2 writes nothing at all. Prints "ready" when it
waits for the line, and "cut" when it is done.
"""

import fcntl
import os
import struct
import sys

# _IOR('X', 125, __u32) of linux/fs.h
FS_IOC_SHUTDOWN = 0x8004587D


def main():
    folder = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
    flag = struct.pack("I", int(sys.argv[2]))
    print("ready", flush=True)
    sys.stdin.readline()
    fcntl.ioctl(folder, FS_IOC_SHUTDOWN, flag)
    print("cut", flush=True)


if __name__ == "__main__":
    main()
