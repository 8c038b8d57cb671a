#!/usr/bin/env bash
# openssl: digests, ciphers, a key in and out, a certificate, and its own self-tests of big numbers.
# needs: openssl
# SPDX-License-Identifier: MIT
set -eu
seq 1 400000 > data
for digest in sha256 sha512 sha3-256 blake2b512; do openssl dgst -"$digest" data; done
openssl enc -aes-256-cbc -K "$(printf '0%.0s' $(seq 64))" -iv "$(printf '1%.0s' $(seq 32))" -in data -out data.enc
openssl dgst -sha256 data.enc
openssl enc -d -aes-256-cbc -K "$(printf '0%.0s' $(seq 64))" -iv "$(printf '1%.0s' $(seq 32))" -in data.enc | cmp - data && echo same
for number in 1000000007 170141183460469231731687303715884105727 1000000011; do openssl prime "$number"; done
openssl ciphers -v ALL | sort | sha256sum
openssl genpkey -algorithm ed25519 -out key.pem && openssl pkey -in key.pem -noout -check 2>&1
