#!/bin/sh
# Makes certificates for a trial: an authority, the broker, and one client for each further name.
#
#   deploy/mosquitto/make-certificates.sh certificates mosquitto headend gw1 gw2
#
# The second name is the host under which clients reach the broker. What exists is kept, so further
# gateways are added by calling it again. The clients' keys are readable for all, because containers
# read them under accounts of their own: for a trial only. In production use the authority of the
# utility, and keep its key away from the broker.
set -eu

if [ $# -lt 3 ]; then
  echo "usage: $0 FOLDER BROKER_HOST CLIENT..." >&2
  exit 2
fi
folder=$1
broker_host=$2
shift 2
mkdir -p "$folder"
cd "$folder"

new_key() {
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null
}

signed() {  # NAME COMMON_NAME EXTENSIONS: NAME.key and NAME.pem, signed by the authority
  [ -f "$1.pem" ] && return
  new_key "$1"
  chmod 644 "$1.key"
  printf '%s\n' "basicConstraints=CA:FALSE" "$3" > "$1.extensions"
  openssl req -new -key "$1.key" -subj "/CN=$2" -out "$1.request"
  openssl x509 -req -in "$1.request" -CA ca.pem -CAkey ca.key -CAcreateserial \
    -days 825 -sha256 -extfile "$1.extensions" -out "$1.pem" 2>/dev/null
  rm "$1.request" "$1.extensions"
}

if [ ! -f ca.pem ]; then
  new_key ca
  chmod 600 ca.key
  openssl req -x509 -key ca.key -sha256 -days 3650 -subj "/CN=headend trial authority" \
    -addext "keyUsage=critical,keyCertSign,cRLSign" -out ca.pem
fi
signed broker "$broker_host" "subjectAltName=DNS:$broker_host,DNS:localhost,IP:127.0.0.1"
for client in "$@"; do
  signed "$client" "$client" "extendedKeyUsage=clientAuth"
done
ls -1 ./*.pem
