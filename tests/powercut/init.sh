#!/bin/bash
# First process of the guest: file systems, network, then guest.py as an ordinary user.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
[ -b /dev/ubda ] || mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /mnt
ip link set lo up
hostname powercut
mkdir /mnt/queue /mnt/mail /mnt/etc
e2fsck -p /dev/ubda >/dev/null 2>&1
mount -t ext4 /dev/ubda /mnt/queue || echo "NOMOUNT queue"
if [ "$LAYOUT" = two ]; then
    e2fsck -p /dev/ubdb >/dev/null 2>&1
    mount -t ext4 /dev/ubdb /mnt/mail || echo "NOMOUNT mail"
else
    mkdir -p /mnt/queue/mail
    mount --bind /mnt/queue/mail /mnt/mail
fi
chown 65534:65534 /mnt/queue /mnt/mail /mnt/etc
setpriv --reuid=65534 --regid=65534 --clear-groups "$PYTHON" "$GUEST"
echo "GUEST ended with $?"
poweroff -f
