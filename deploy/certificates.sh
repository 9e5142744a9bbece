#!/usr/bin/env bash
# Makes what guards a coordinator: an authority, a certificate for the coordinator's names, one for
# workers and users, and a token. Existing files are kept, so that a second call adds what is missing.
#
#   deploy/certificates.sh FOLDER NAME...        NAME: a host, or an address
#
# The folder then holds ca.crt and ca.key, server.crt and server.key, client.crt and client.key, and
# token. Whoever has ca.key can make certificates that open every coordinator that asks for them: keep
# it elsewhere. DAYS sets how long all of them hold (365).
set -euo pipefail
umask 077

[[ $# -ge 2 ]] || { echo "usage: certificates.sh FOLDER NAME..." >&2; exit 2; }
folder=$1
shift
days=${DAYS:-365}
mkdir -p "$folder"
cd "$folder"

# Quiet, unless it fails.
quietly() {
    local said
    said=$("$@" 2>&1) || { echo "$said" >&2; exit 1; }
}

alternatives() {
    local name kind names=()
    for name in "$@"; do
        kind=DNS
        [[ $name =~ ^[0-9.]+$ || $name == *:* ]] && kind=IP
        names+=("$kind:$name")
    done
    local IFS=,
    echo "${names[*]}"
}

# certificate ROLE EXTENSION...
certificate() {
    local role=$1
    shift
    [[ -f $role.crt ]] && return
    quietly openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
        -subj "/CN=snel $role" -keyout "$role.key" -out "$role.csr"
    quietly openssl x509 -req -in "$role.csr" -CA ca.crt -CAkey ca.key -CAcreateserial \
        -days "$days" -extfile <(printf '%s\n' "basicConstraints=critical,CA:FALSE" "$@") -out "$role.crt"
    rm "$role.csr"
}

if [[ ! -f ca.crt ]]; then
    quietly openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
        -days "$days" -subj "/CN=snel authority" -keyout ca.key -out ca.crt
fi
certificate server "extendedKeyUsage=serverAuth" "subjectAltName=$(alternatives "$@")"
certificate client "extendedKeyUsage=clientAuth"
[[ -f token ]] || openssl rand -hex 32 > token
