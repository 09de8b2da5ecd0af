#!/bin/sh
# The same as nftables.conf for hosts that use ufw: the proxy is open to all, the service's own port to the internal
# network. `UFW="ufw --dry-run"` shows what would change. Allow SSH before you enable ufw.
set -eu
UFW=${UFW:-ufw}

$UFW allow 80/tcp comment 'HTTP: redirect and ACME'
$UFW allow 443/tcp comment 'HTTPS: proxy'
$UFW allow from 10.0.0.0/8 to any port 8000 proto tcp comment 'tft-service, internal'
$UFW deny 8000/tcp comment 'tft-service, others'
