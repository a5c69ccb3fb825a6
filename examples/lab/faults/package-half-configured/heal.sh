dpkg --purge --force-remove-reinstreq shop-tools >/dev/null 2>&1 || true
rm -rf /var/cache/apt/archives/shop-tools_2.4.1_all.deb /var/lib/shop-tools
