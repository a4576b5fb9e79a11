#!/bin/sh
# Makes server.key and server.crt, self-signed, for the host names given, and ssl.config for
# TensorFlow Serving, in this script's folder: sh make.sh HOST ...
set -eu
cd "$(dirname "$0")"
names="DNS:localhost,IP:127.0.0.1"
for host in "$@"; do names="$names,DNS:$host"; done
umask 077
if [ ! -e server.key ]; then
  openssl req -x509 -newkey rsa:4096 -nodes -days 365 -subj "/CN=${1:-localhost}" \
    -addext "subjectAltName=$names" -keyout server.key -out server.crt
fi
# The server wants the files' content, not their names, with line ends written as \n.
content() { awk '{ printf "%s\\n", $0 }' "$1"; }
printf 'server_key: "%s"\nserver_cert: "%s"\nclient_verify: false\n' \
  "$(content server.key)" "$(content server.crt)" > ssl.config
