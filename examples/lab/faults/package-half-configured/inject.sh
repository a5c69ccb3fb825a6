umask 022
mkdir -p /run/shop-tools/DEBIAN /run/shop-tools/usr/bin
printf 'Package: shop-tools\nVersion: 2.4.1\nArchitecture: all\nMaintainer: Shop operations <ops@lab.internal>\nDescription: helpers of the shop\n' >/run/shop-tools/DEBIAN/control
printf '#!/bin/sh\nset -e\nif test "$1" = configure; then mkdir -p /var/lib/shop-tools; fi\n' >/run/shop-tools/DEBIAN/postinst
chmod 755 /run/shop-tools/DEBIAN/postinst
printf '#!/bin/sh\ncurl -s http://localhost:8080/healthz\n' >/run/shop-tools/usr/bin/shop-health
chmod 755 /run/shop-tools/usr/bin/shop-health
mkdir -p /var/cache/apt/archives
dpkg-deb --build /run/shop-tools /var/cache/apt/archives/shop-tools_2.4.1_all.deb >/dev/null
rm -r /run/shop-tools
dpkg --unpack /var/cache/apt/archives/shop-tools_2.4.1_all.deb >/dev/null
