#!/bin/bash
# First process of the guest: file systems and a loopback, then weather.py.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin QUIET= PYTHONDONTWRITEBYTECODE=1
mount -t proc proc /proc
mount -t sysfs sysfs /sys
[ -c /dev/null ] || mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
ip link set lo up
hostname netem
"$PYTHON" "$WEATHER" ${TESTS//;/ }
echo "WEATHER ended with $?"
poweroff -f
