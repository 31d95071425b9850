"""Run a command in a virtual machine that has this machine's files and the kernel's virtual camera.

    virtual_machine.py KERNEL MODULES SHARE SECONDS COMMAND

KERNEL is a vmlinuz, MODULES its folder /lib/modules/VERSION. The virtual machine sees this machine's files
read-only. SHARE is its /dev/share, $TMPDIR its /dev/shm; the command may write to both. All that is mounted
lies below /proc, /sys and /dev, so that no other folder is hidden. `vivid`, the driver of the virtual camera,
is loaded: /dev/video0 gives pictures, another node metadata. This program prints the command's output and has
its exit status.

It needs qemu-system-x86 and busybox-static, but neither root nor KVM.
"""

from __future__ import annotations

import lzma
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# A webcam input, a node for pictures and one for metadata.
VIVID = "n_devs=1 node_types=0x20001 num_inputs=1 input_types=0x0"
NEEDED = ("virtio_pci", "9pnet_virtio", "9p", "vivid")

INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in $(cat /order); do
    case $module in vivid) options="{vivid}" ;; *) options="" ;; esac
    insmod /modules/$module.ko $options || echo "module $module doesn't load"
done
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=500000 host /host
for folder in proc sys dev; do mount -o bind /$folder /host/$folder; done
mkdir /host/dev/share /host/dev/shm
mount -t 9p -o trans=virtio,version=9p2000.L,msize=500000 share /host/dev/share
mount -t tmpfs tmpfs /host/dev/shm
export TMPDIR=/dev/shm HOME=/dev/shm
ifconfig lo up
chroot /host /bin/sh /dev/share/command > /host/dev/share/output 2>&1
echo $? > /host/dev/share/status
sync
poweroff -f
"""


def main() -> int:
    kernel, modules, share, seconds, command = sys.argv[1:]
    shared = Path(share)
    (shared / "command").write_text(command)
    for name in ("output", "status"):
        (shared / name).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "initramfs"
        image.write_bytes(initramfs(Path(modules)))
        started = subprocess.run(
            [
                "qemu-system-x86_64", "-machine", "accel=tcg", "-cpu", "max", "-m", "1536",
                "-nographic", "-no-reboot", "-nic", "none",
                "-kernel", kernel, "-initrd", str(image),
                "-append", "console=ttyS0 quiet panic=-1",
                "-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
                "-virtfs", f"local,path={shared},mount_tag=share,security_model=none",
            ],
            capture_output=True, text=True, errors="replace", timeout=float(seconds), check=False,
        )  # fmt: skip
    status = shared / "status"
    if not status.exists():
        sys.exit(
            f"the virtual machine ended before the command:\n{started.stdout[-3000:]}{started.stderr}"
        )
    print((shared / "output").read_text(errors="replace"), end="")
    return int(status.read_text())


def initramfs(modules: Path) -> bytes:
    """Make a file system with busybox, the modules in order, and the script that runs the command."""
    files = {path.name.split(".ko")[0].replace("-", "_"): path for path in modules.rglob("*.ko*")}
    order: list[str] = []
    contents: dict[str, bytes] = {}
    for name in NEEDED:
        _gather(name, files, order, contents)
    archive = Archive()
    for folder in ("bin", "dev", "host", "modules", "proc", "sys"):
        archive.add(folder, b"", 0o040755)
    archive.add("bin/busybox", Path("/bin/busybox").read_bytes(), 0o100755)
    applets = (
        "sh",
        "mount",
        "mkdir",
        "insmod",
        "cat",
        "chroot",
        "poweroff",
        "sync",
        "echo",
        "ifconfig",
    )
    for applet in applets:
        archive.add(f"bin/{applet}", b"busybox", 0o120777)
    archive.add("init", INIT.replace("{vivid}", VIVID).encode(), 0o100755)
    archive.add("order", " ".join(order).encode(), 0o100644)
    for name, content in contents.items():
        archive.add(f"modules/{name}.ko", content, 0o100644)
    return archive.finished()


def _gather(
    name: str, files: dict[str, Path], order: list[str], contents: dict[str, bytes]
) -> None:
    """Add a module after its dependencies. A module without a file is built into the kernel."""
    if name in order or name not in files:
        return
    content = files[name].read_bytes()
    if files[name].suffix == ".xz":
        content = lzma.decompress(content)
    stated = re.search(rb"\0depends=([^\0]*)\0", b"\0" + content)
    for needed in stated[1].decode().split(",") if stated and stated[1] else ():
        _gather(needed.replace("-", "_"), files, order, contents)
    order.append(name)
    contents[name] = content


class Archive:
    """A cpio archive in the kernel's format (newc: Documentation/driver-api/early-userspace)."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._count = 0

    def add(self, name: str, content: bytes, mode: int) -> None:
        self._count += 1
        fields = (self._count, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        self._bytes += b"070701" + b"".join(b"%08x" % field for field in fields)
        self._bytes += name.encode() + b"\0"
        self._pad()
        self._bytes += content
        self._pad()

    def finished(self) -> bytes:
        self.add("TRAILER!!!", b"", 0)
        return bytes(self._bytes)

    def _pad(self) -> None:
        self._bytes += bytes(-len(self._bytes) % 4)


if __name__ == "__main__":
    sys.exit(main())
